"""
`digest` in processes of its own that begin where the imports end: forks of one that has read the program and does nothing else.

A command's start is mostly imports, the same ones each time; commands whose start is not the point are run by this. What a
person starts, from nothing, is in test_stops_on_the_command_line.py, test_site.py, test_posting.py and tests/bench/start.py.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
READ = (
    "alembic.command", "cryptography.hazmat.primitives.asymmetric.rsa", "premailer", "rich.table", "typer.main", "digest.alarms",
    "digest.app", "digest.checkup", "digest.desk", "digest.dkim", "digest.events", "digest.proofs", "digest.standing",
    "subscribers.exchange",
)  # fmt: skip
"""Not `digest.commands`: what is shown depends on the environment there."""
MOST = 100_000  # bytes of a message: the words, the folder and the environment


def run(
    words: Sequence[object], *, cwd: Path, environment: Mapping[str, str], stdin: bytes = b"", timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """
    As `subprocess.run([sys.executable, "-m", "digest", *words], capture_output=True)` does.

    Raises:
        TimeoutExpired: it took longer than `timeout` seconds, and was killed.
    """
    asked = [str(word) for word in words]
    told, tell = os.pipe()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as aside:
        given.write(stdin)
        given.seek(0)
        message = json.dumps([asked, str(cwd), dict(environment)]).encode()
        socket.send_fds(_reader(), [message], [given.fileno(), out.fileno(), aside.fileno(), tell])
        os.close(tell)
        with os.fdopen(told, "rb", buffering=0) as outcome:
            number = int(outcome.read(8))
            if not select([outcome], [], [], timeout)[0]:
                os.kill(number, signal.SIGKILL)
                raise subprocess.TimeoutExpired(asked, timeout)
            code = os.waitstatus_to_exitcode(int(outcome.read(8)))
        for file in (out, aside):
            file.seek(0)
        return subprocess.CompletedProcess(asked, code, out.read(), aside.read())


def words_of(done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[str]:
    """The same with text."""
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@cache
def _reader() -> socket.socket:
    """The one that has read, for all commands of this process; it ends with us."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    subprocess.Popen(
        [sys.executable, "-m", "tests.ready", str(its.fileno())], cwd=ROOT, env=environment, pass_fds=[its.fileno()]
    )
    its.close()
    return ours


# in the process that has read -----------------------------------------------------------------------------------------


def serve(door: socket.socket) -> None:
    for name in READ:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
    while True:
        message, files, _, _ = socket.recv_fds(door, MOST, 4)
        if not message:
            return
        if os.fork() == 0:
            door.close()
            _keep(message, files)
        for file in files:
            os.close(file)


def _keep(message: bytes, files: list[int]) -> None:
    """Tell the command's number, and how it ended. Returns in nobody: in the command by SystemExit."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, tell = files
    if (number := os.fork()) == 0:
        os.close(tell)
        _become(*json.loads(message), streams)
    with suppress(BrokenPipeError):  # where nobody waits any longer
        os.write(tell, b"%8d" % number)
        os.write(tell, b"%8d" % os.waitpid(number, 0)[1])
    os._exit(0)


def _become(words: list[str], cwd: str, environment: dict[str, str], streams: list[int]) -> NoReturn:
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["digest", *words]
    runpy.run_module("digest", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
