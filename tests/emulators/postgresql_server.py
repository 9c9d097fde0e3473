"""A PostgreSQL server of the tests' own, on a free port, with its data in a folder that goes when it stops."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "s3cret-of-the-tests"


@dataclass(frozen=True)
class PostgresqlServer:
    """A running server with an empty database."""

    port: int

    def url(self, password: str = PASSWORD, database: str = "postgres") -> str:
        """Its address as `search.storage` takes it."""
        return f"postgresql://llmops:{password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """Start a server and stop it at the end; skips the test where the program, its user or the driver is missing."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="llmops-postgresql-"))  # outside pytest's folders, which only we may enter
    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            for one in (folder, folder / "password"):
                shutil.chown(one, user)
        secret = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        command = [f"{programs}/initdb", "--username=llmops", "--no-sync", *secret, "-D", str(folder / "data")]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)
        with _serving(programs, folder, user) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _serving(programs: str, folder: Path, user: str | None) -> Iterator[PostgresqlServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-p", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [f"{programs}/postgres", "-D", str(folder / "data"), *options],
            user=user,
            cwd=folder,
            stderr=log,
            stdout=log,
        )
    try:
        _wait_for(port, process, folder / "log")
        yield PostgresqlServer(port)
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: it does not wait for its clients
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    import psycopg

    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"postgresql://llmops:{PASSWORD}@127.0.0.1:{port}/postgres").close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.05)


def _programs() -> str | None:
    """The folder of the server's programs, which Debian keeps off the PATH."""
    on_path = shutil.which("postgres")
    found = [on_path] if on_path else sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")))
    return str(Path(found[-1]).parent) if found and (Path(found[-1]).parent / "initdb").exists() else None


def _user() -> str | None:
    """Whom the server runs as where we are root, as which it refuses to."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
