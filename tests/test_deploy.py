"""What deploy/ holds is what this version understands: its units as systemd reads them, its commands, its settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from digest.__main__ import app
from digest.settings import Settings

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
PROGRAM = "/opt/digest/.venv/bin/digest"
LEAST_EXPOSED = 2.0  # of 10, as systemd-analyze counts


def unit_on_this_machine(unit, folder):
    """The unit with a program that is here, for systemd looks whether it is."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return copy


def analyzed(*words):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_a_unit(unit, tmp_path):
    said = analyzed("verify", str(unit_on_this_machine(unit, tmp_path)))
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_leaves_little_open(unit, tmp_path):
    said = analyzed("security", "--offline=true", str(unit_on_this_machine(unit, tmp_path)))
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)
    assert float(exposure[1]) < LEAST_EXPOSED


def test_every_command_that_is_started_is_one():
    commands = set(get_command(app).commands)
    units = {
        line.split()[1] for unit in UNITS for line in re.findall(r"^ExecStart=(.+)$", unit.read_text(), re.MULTILINE)
    }
    assert units == {"serve", "watch"}
    assert units <= commands


def test_every_setting_that_is_named_is_one():
    named = {name for file in DEPLOY.iterdir() for name in re.findall(r"DIGEST_([A-Z_]+)", file.read_text())}
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)
