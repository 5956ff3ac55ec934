"""deploy/Dockerfile without Docker: the files that it copies, alone in a folder, run its command and answer its health check."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.main import get_command

from digest.__main__ import app
from tests.at_work import ended

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
PROGRAM = "/opt/digest"


def stages():
    """The Dockerfile's stages, each a list of (instruction, words)."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


BUILD, IMAGE = stages()
ENV = dict(pair.split("=", 1) for word, rest in IMAGE if word == "ENV" for pair in rest.split())
(ENTRY,) = (json.loads(rest) for word, rest in IMAGE if word == "ENTRYPOINT")
(COMMAND,) = (json.loads(rest) for word, rest in IMAGE if word == "CMD")
(HEALTH,) = (json.loads(rest.partition(" CMD ")[2]) for word, rest in IMAGE if word == "HEALTHCHECK")


def copied():
    """What the build copies from the checkout: (source, where in the image)."""
    where = "/"
    for word, rest in BUILD:
        if word == "WORKDIR":
            where = rest
        if word == "COPY":
            *sources, target = rest.split()
            yield from ((source, f"{where}/{target}") for source in sources)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The program's folder as the image has it, but for what is installed."""
    folder = tmp_path_factory.mktemp("image")
    for source, target in copied():
        if target.startswith(PROGRAM):
            place = folder / target.removeprefix(f"{PROGRAM}/").removesuffix("./")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    return folder


@pytest.fixture
def run(tree, tmp_path):
    """Starts words as the image would, at home in a folder of their own; python is the one that runs the tests."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    own = {
        "DIGEST_HOME": str(home),
        "DIGEST_LISTEN": "127.0.0.1:0",
        "PYTHONPATH": str(tree / "source"),
        "PATH": os.environ["PATH"],
    }
    assert own.keys() <= ENV.keys() | {"PATH"}
    started = []

    def start(*words):
        assert words[0] == "python"
        process = subprocess.Popen(
            [sys.executable, *words[1:]], cwd=home, env={**ENV, **own}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_it_copies_is_there_and_reaches_the_build():
    lines = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] != "#"]
    let_in, kept_out = [line[1:] for line in lines if line[0] == "!"], [line for line in lines if line[0] != "!"]
    sources = [source for source, _ in copied()]
    assert all((ROOT / source).exists() for source in sources)
    assert sorted(sources) == sorted(let_in)
    assert kept_out[0] == "*"
    assert any(fnmatch("press/.env", line) for line in kept_out)


def test_its_files_alone_run_its_command_answer_its_health_check_and_end_by_its_signal(run, tree):
    where = run("python", "-c", "import digest, subscribers; print(digest.__file__, subscribers.__file__)")
    assert where.communicate(timeout=60)[0].split() == [
        str(tree / "source" / name / "__init__.py") for name in ("digest", "subscribers")
    ]
    made = ended(run(*ENTRY, "init"))
    assert (made.code, made.aside) == (0, "")
    serving = run(*ENTRY, *COMMAND)
    port = re.search(r"127\.0\.0\.1:(\d+)", serving.stdout.readline())[1]
    here = [word.replace("127.0.0.1:8000", f"127.0.0.1:{port}") for word in HEALTH]
    assert here != HEALTH
    assert ended(run(*here)).code == 0
    (stop,) = (rest for word, rest in IMAGE if word == "STOPSIGNAL")
    serving.send_signal(signal.Signals[stop])
    said = ended(serving)
    assert (said.code, said.aside) == (0, "")
    assert ended(run(*here)).code != 0, "nobody answers any more"


def test_it_runs_as_nobody_in_particular_and_writes_at_home_alone():
    words = [word for word, _ in IMAGE]
    (user,) = (rest for word, rest in IMAGE if word == "USER")
    assert user == "1000:1000"
    assert "RUN" not in words[words.index("USER") :]
    makes = next(rest for word, rest in IMAGE if word == "RUN")
    assert "useradd --uid 1000 --gid 1000" in makes
    assert f"--owner 1000 --group 1000 --mode 0700 {ENV['DIGEST_HOME']}" in makes
    assert ("WORKDIR", ENV["DIGEST_HOME"]) in IMAGE
    assert f"home:{ENV['DIGEST_HOME']}" in COMPOSE


def test_its_command_is_the_program_s_own():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert (ENTRY, scripts) == (["python", "-m", "digest"], {"digest": "digest.__main__:main"})
    assert COMMAND[0] in get_command(app).commands
    assert ENV["PATH"].startswith(f"{PROGRAM}/bin:")
    assert ENV["PYTHONPATH"] in {rest for word, rest in BUILD if word == "WORKDIR"}


def pinned(file):
    """By name the version of each package in a lock file, all of which have hashes."""
    entries = re.split(r"\n(?=\S)", file.read_text().strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    return dict(entry.split()[0].split("==") for entry in entries)


def test_all_that_it_installs_is_locked_as_it_is_elsewhere():
    plain, whole, ours = (
        pinned(folder / name)
        for folder, name in (
            (ROOT, "requirements.lock"),
            (ROOT, "requirements-dev.lock"),
            (DEPLOY, "requirements.lock"),
        )
    )
    assert ours.keys() - plain.keys() == {"psycopg", "psycopg-binary"}
    assert ours.items() >= plain.items()
    assert whole.items() >= ours.items()
    installs = [rest for stage in (BUILD, IMAGE) for word, rest in stage if word == "RUN" and "pip install" in rest]
    assert [
        f"--require-hashes -r /tmp/{Path(source).name}" in installs[0] for source, to in copied() if "/tmp/" in to
    ] == [True]
    assert len(installs) == 1


def test_compose_builds_it_and_says_nothing_that_it_does_not_understand():
    context, file = (re.search(rf"^    {name}: (\S+)$", COMPOSE, re.MULTILINE)[1] for name in ("context", "dockerfile"))
    assert (DEPLOY / context / file).resolve() == DEPLOY / "Dockerfile"
    services = dict(
        re.findall(r"^  ([\w-]+):\n((?:    .*\n|\n)+)", COMPOSE.partition("\nservices:\n")[2], re.MULTILINE)
    )
    commands = {name: re.search(r"command: \[([\w, -]+)\]", text) for name, text in services.items()}
    words = {name: found[1].split(", ") for name, found in commands.items() if found}
    assert words == {"set-up": ["init"], "web": ["serve", "--only", "web"], "watch": ["watch"]}
    assert {command for command, *_ in words.values()} <= get_command(app).commands.keys()
    # the image's health check asks for a page; who has none is not asked
    assert {name for name in words if "healthcheck: { disable: true }" in services[name]} == {"set-up", "watch"}
    assert f':{ENV["DIGEST_LISTEN"].rpartition(":")[2]}"]' in services["web"]
