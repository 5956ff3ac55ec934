"""The demo from the checkout and from a wheel installed elsewhere; run twice, nobody gets a second copy."""

import os
import subprocess
import sys
import sysconfig
import venv
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(command, folder, **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DIGEST_", "PYTHON"))}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env={**clean, "COLUMNS": "160", **more}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sent(folder):
    return {
        file: file.read_bytes() for kind in ("*.eml", "*.json") for file in (folder / "demo" / "outbox").rglob(kind)
    }


def check_demo(command, folder):
    words = run(command, folder)
    messages = sent(folder)
    mails = [message_from_bytes(body, policy=default) for file, body in messages.items() if file.suffix == ".eml"]
    assert len({mail["To"].addresses[0].addr_spec for mail in mails}) == len(mails) == 200
    assert {mail.get_body(("html",)).get_content().split('lang="')[1][:2] for mail in mails} == {"en", "es"}
    assert len(messages) - len(mails) == 67
    for segment in ("korea-watchers", "madrid-desk", "everyone-else"):
        assert segment in words
    assert "the deadline's fallback" in words
    shown = [line.split()[0] for line in words.splitlines() if "outbox" in line]
    assert len(shown) == 3
    assert all((folder / file).is_file() for file in shown)
    run(command, folder)
    assert sent(folder) == messages


def from_checkout(*words):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from digest.__main__ import main; main()"
    return [sys.executable, "-c", program, *words]


def test_the_demo_delivers_a_morning_once(tmp_path):
    check_demo(from_checkout("--quiet", "demo"), tmp_path)


def test_the_demo_leaves_another_folder_alone(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("keep me")
    done = subprocess.run(from_checkout("demo"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds something else" in done.stderr
    assert [file.name for file in (tmp_path / "demo").iterdir()] == ["mine.txt"]


def environment_elsewhere(folder, *install):
    """An empty virtual environment with only our package installed; what it depends on is lent by this one."""
    venv.create(folder / "elsewhere", with_pip=True)
    python = folder / "elsewhere" / "bin" / "python"
    packages = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    # our own package is not lent with the rest: the path files in a lent folder are not read
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", *install], folder
    )
    return folder / "elsewhere" / "bin" / "digest"


TEMPLATES = "from digest.paths import template_folders; print(template_folders()[0].joinpath('email', '_layout.html').resolve())"


@pytest.mark.slow
def test_a_wheel_installed_into_an_empty_environment_elsewhere_runs_the_demo(tmp_path):
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT], tmp_path)
    (wheel,) = (tmp_path / "dist").glob("global_digest-*.whl")
    digest = environment_elsewhere(tmp_path, wheel)
    found = Path(run([digest.with_name("python"), "-c", TEMPLATES], tmp_path).strip())
    assert found.is_file()
    assert tmp_path in found.parents
    check_demo([digest, "--quiet", "demo"], tmp_path)


@pytest.mark.slow
def test_an_editable_install_finds_the_checkouts_templates(tmp_path):
    digest = environment_elsewhere(tmp_path, "--editable", ROOT)
    found = Path(run([digest.with_name("python"), "-c", TEMPLATES], tmp_path).strip())
    assert found == ROOT / "templates" / "email" / "_layout.html"
    assert "Global Digest" in run([digest, "--version"], tmp_path)
