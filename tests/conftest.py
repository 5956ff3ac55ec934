"""Databases for the tests: SQLite in a file, and a real PostgreSQL that is started here and ends with the tests."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from digest.database import migrate, open_engine
from tests.at_work import AtWork, copied, set_up
from tests.laid import lay

MEMORY, ROOM = Path("/dev/shm"), 4_000_000_000  # bytes that there must be, for all tests together
BINARIES = Path("/usr/lib/postgresql")
ON_BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def pytest_configure() -> None:
    """
    What tests write is in memory where there is room, and where TMPDIR does not say otherwise.

    Kills lose nothing there that they would not lose on a disk, and full disks are file systems of their own (`small_disk`);
    but a disk takes a millisecond for each of a hundred thousand commits.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return
    there = os.statvfs(MEMORY)
    if there.f_bavail * there.f_frsize >= ROOM and not there.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder to set a press up in."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def approved_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an approved edition, made once; tests work on copies."""
    home = tmp_path_factory.mktemp("approved") / "press"
    set_up(home)
    return home


@pytest.fixture
def press(approved_home: Path, tmp_path: Path) -> AtWork:
    """A copy of it, and `digest` at work in it."""
    return copied(approved_home, tmp_path / "press")


@pytest.fixture(params=ON_BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(params=ON_BOTH)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with all tables and no rows, of each kind in turn."""
    if request.param == "sqlite":
        return lay(tmp_path / "migrated.sqlite")
    return request.getfixturevalue("postgres_migrated_url")


@pytest.fixture(params=ON_BOTH)
def engine(request: pytest.FixtureRequest) -> Engine:
    """A database with all tables and no rows, of each kind in turn."""
    return request.getfixturevalue(f"{request.param}_engine")


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(lay(tmp_path / "digest.sqlite"))
    yield engine
    engine.dispose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], tuple[Path, Callable[[int], None]]]]:
    """Call it with a size in KB: a folder with no more room than that, and a function that gives it another size."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size: int, *how: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*how, f"size={size}k"]), "tmpfs", disk]
        return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0

    def of(size: int) -> tuple[Path, Callable[[int], None]]:
        if not mount(size):
            pytest.skip("a small file system cannot be mounted here: that takes root and the right to mount")
        return disk, lambda size: mount(size, "remount") or pytest.fail("the disk does not grow")

    yield of
    if disk.is_mount():
        subprocess.run(["umount", "--lazy", disk], check=True)


# PostgreSQL ---------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A running PostgreSQL; `create` makes one more database of it, empty or with our tables."""

    base: str
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    migrated: str = ""

    def create(self, template: str = "template0") -> str:
        name = f"test_{next(self.numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"{self.base}/{name}"

    def create_migrated(self) -> str:
        if not self.migrated:
            url = self.create()
            engine = open_engine(url)
            migrate(engine)
            engine.dispose()
            self.migrated = url.rpartition("/")[2]
        return self.create(self.migrated)

    def drop(self, url: str) -> None:
        """With the connections that a test has left open."""
        self._do(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        maintenance = create_engine(f"{self.base}/postgres", isolation_level="AUTOCOMMIT")
        with maintenance.connect() as connection:
            connection.execute(text(statement))
        maintenance.dispose()


@pytest.fixture
def postgres_engine(postgres_migrated_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_migrated_url)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_migrated_url(postgres_server: Server) -> Iterator[str]:
    url = postgres_server.create_migrated()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    binaries = sorted(BINARIES.glob("*/bin/postgres"), key=lambda file: int(file.parts[-3]))
    owner = _owner()
    if not binaries or owner is None:
        reason = f"no PostgreSQL server below {BINARIES}, or no user postgres to run it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    folder, port = Path(tempfile.mkdtemp(prefix="digest-postgres-")), _free_port()
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    bin_folder, data = binaries[-1].parent, folder / "data"
    server = None
    try:
        initdb = [bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, capture_output=True, cwd=folder, **as_owner)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=40", "-F"]
        server = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-p", str(port), "-k", folder, *options],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=_end_with_parent, **as_owner,  # noqa: PLW1509  one thread; and it must not outlive us
        )  # fmt: skip
        base = f"postgresql+psycopg://postgres@127.0.0.1:{port}"
        _wait_for(base)
        yield Server(base)
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


def _wait_for(base: str) -> None:
    engine = create_engine(f"{base}/postgres")
    for _ in range(150):
        try:
            engine.connect().close()
        except OperationalError:
            time.sleep(0.2)
        else:
            engine.dispose()
            return
    pytest.fail("PostgreSQL did not start within 30 seconds")
