"""Where a search keeps its trials: a SQLite file for one machine, PostgreSQL for several, one lock for each search."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from filelock import FileLock, Timeout

from llmops.errors import InputError, ServiceError
from llmops.tuning import addresses

# Pauses before something is told again to a database that failed: hours of training hang on it.
PAUSES = (1, 2, 4, 8, 16)
LOCK_SECONDS = 120  # an answer of a sampler takes up to seconds, and every worker may wait for one

Result = TypeVar("Result")


class TrialStorage:
    """Optuna's storage together with the lock and the clock that all workers share.

    Args:
        address: of a PostgreSQL database, or None for the file.
        file: the SQLite database where there is no address.

    Raises:
        InputError: an address that is none, or for which there is no driver.
        ServiceError: the database cannot be reached or refuses us.
    """

    def __init__(self, address: str | None, file: Path) -> None:
        import sqlalchemy

        # As a URI, whose path may hold any character; a plain address cannot have a question mark in it.
        url = (
            addresses.parse(address)
            if address
            else sqlalchemy.make_url(f"sqlite:///file:{quote(str(file.resolve()))}?uri=true")
        )
        self._lock_file = file.with_name(f"{file.name}.lock")
        self._postgresql = url.get_backend_name() == "postgresql"
        self._place = f"the search storage {addresses.rendered(url) if address else file}"
        self._secrets = [*addresses.secrets_of(url), *map(quote, addresses.secrets_of(url))]
        settings: dict[str, Any] = {"connect_args": {"timeout": 60}}
        if self._postgresql:
            settings = {"connect_args": {"connect_timeout": 10}, "pool_pre_ping": True}
        try:
            self._engine = sqlalchemy.create_engine(url, **settings)
        except sqlalchemy.exc.NoSuchModuleError:
            raise InputError(f"{self._place} names no SQLAlchemy driver; write postgresql://…") from None
        except ImportError as error:
            raise InputError(
                f"{self._place} needs the driver {error.name}, which is not installed; pip install 'llmops[postgresql]'"
            ) from None
        # Two workers that start together must not both create the tables.
        with self.locked("llmops search"):
            self.trials = self._open(url.render_as_string(hide_password=False), settings)

    def _open(self, url: str, settings: dict[str, Any]) -> Any:
        from optuna.storages import RDBStorage, get_storage

        # Optuna fills in braces of an address as in str.format.
        opened = RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=settings)
        if not self._postgresql:
            _write_ahead(opened.engine)
        return get_storage(opened)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of the database as one line that holds no password.

        Raises:
            ServiceError: the database failed.
        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            raise ServiceError(f"{self._place} failed: {self._reason(error)}") from None

    @contextmanager
    def locked(self, name: str) -> Iterator[float]:
        """Hold the lock of this name, against threads, processes and machines; gives the time by the shared clock.

        Raises:
            ServiceError: the database failed, or somebody holds the lock for two minutes.
        """
        if self._postgresql:
            with self.errors(), self._engine.begin() as connection:
                yield self._lock_in_transaction(connection, name)
            return
        try:
            # An instance of its own each time: the lock counts against other threads of this process too.
            with self.errors(), FileLock(self._lock_file, timeout=LOCK_SECONDS):
                yield time.time()
        except Timeout:
            raise ServiceError(f"{self._place} is locked by another process for {LOCK_SECONDS} s") from None

    def _lock_in_transaction(self, connection: Any, name: str) -> float:
        """An advisory lock that PostgreSQL gives back when the transaction ends, or its connection breaks."""
        from sqlalchemy import text

        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))

    def now(self) -> float:
        """Seconds since 1970 by the clock that all workers share: the database's, or this machine's."""
        if not self._postgresql:
            return time.time()
        from sqlalchemy import text

        with self.errors(), self._engine.connect() as connection:
            return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))

    def _reason(self, error: BaseException) -> str:
        """The last line of the driver's own message: PostgreSQL says there what is wrong, after where it tried."""
        cause = error
        while (inner := getattr(cause, "orig", None) or cause.__cause__) is not None:
            cause = inner
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()] or [type(cause).__name__]
        telling = [line for line in lines if "failed" in line or "refused" in line or "FATAL" in line]
        reason = (telling or lines)[0]
        for secret in self._secrets:
            reason = reason.replace(secret, addresses.SECRET)
        return reason


class Heartbeat:
    """Says every few seconds that a trial's process lives, from a thread, until stopped or the process dies."""

    INTERVAL = 20.0
    # Several missed beats: a training may keep the interpreter to itself for a while, a database may restart.
    STALE = 180.0

    def __init__(self, storage: TrialStorage, trial_id: int) -> None:
        self._storage = storage
        self._trial_id = trial_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of trial {trial_id}", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        while not self._over.wait(self.INTERVAL):
            try:
                now = self._storage.now()
                with self._storage.errors():
                    self._storage.trials.set_trial_user_attr(self._trial_id, "heartbeat", now)
            except ServiceError:
                continue  # the database may come back; a stale trial is somebody else's
            except (UpdateFinishedTrialError, KeyError):
                return

    def stop(self) -> None:
        """No more beats."""
        self._over.set()


def _write_ahead(engine: Any) -> None:
    """Let SQLite wait for the disk at checkpoints instead of at each of a trial's dozens of writes.

    A killed process loses nothing by that; a power failure may lose the last writes, and never harms the file.
    """
    import sqlalchemy

    def configure(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    sqlalchemy.event.listen(engine, "connect", configure)
    engine.dispose()  # connections from before


def persistently(act: Callable[[], Result]) -> Result:
    """Do it, again and again for half a minute while the database fails.

    Raises:
        ServiceError: it still fails.
    """
    for pause in PAUSES:
        try:
            return act()
        except ServiceError:
            time.sleep(pause)
    return act()
