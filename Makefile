# Everything a newcomer, a developer and CI call. Start with `make demo`; `make help` lists the rest.
SHELL := /bin/sh
unexport PYTHONDONTWRITEBYTECODE   # or each of some hundred processes that tests start would compile the code anew
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH ?= all

.DEFAULT_GOAL := help
.PHONY: help demo test test-rest test-all lint format bench lock catalogues clean

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Global Digest needs Python 3.11 or newer; say make PYTHON=python3.12 demo"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made: install python3-venv"; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.lock
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.ready  ## a whole morning on a sample newsroom, into demo/outbox
	@$(BIN)/digest demo

test: $(VENV)/.ready-dev  ## the tests that need nothing but this machine's Python
	@$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not browser and not postgres and not slow"

test-rest: $(VENV)/.ready-dev  ## the others: real PostgreSQL, real Chromium, kills, the wheel
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "browser or postgres or slow"

test-all: test test-rest  ## every test

lint: $(VENV)/.ready-dev  ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.ready-dev  ## let ruff lay out the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/.ready-dev  ## measured figures; BENCH=morning for one group
	@$(BIN)/python -m tests.bench $(BENCH)

catalogues: $(VENV)/.ready-dev  ## compile the languages of the interface
	@$(BIN)/pybabel compile --directory templates/locale --domain digest --use-fuzzy

lock: $(VENV)/.ready  ## lock versions with hashes, naming no index
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip pip-tools
	@$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --strip-extras --no-annotate --output-file requirements.lock pyproject.toml
	@$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --strip-extras --no-annotate --extra postgres --output-file deploy/requirements.lock pyproject.toml
	@$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --strip-extras --no-annotate --extra dev --extra browser --extra postgres --extra extract --extra fast --output-file requirements-dev.lock pyproject.toml

clean:  ## remove what was made
	@rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
