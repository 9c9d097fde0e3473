"""The storage: every way an address fails is one line without the password; the lock and the clock."""

import importlib
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy

from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.finetuning import TrainingConfig
from llmops.tuning import Search, SearchConfig, TrialOutcome
from llmops.tuning.storage import TrialStorage
from tests.emulators.postgresql_server import PostgresqlServer


def failure(folder: Path, address: str) -> LlmopsError:
    with pytest.raises(LlmopsError) as failed:
        TrialStorage(address, folder / "study.db")
    assert "\n" not in str(failed.value)
    assert "hush" not in str(failed.value)
    return failed.value


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql:/hush", "is no database address .*; write postgresql://USER@HOST/DATABASE with .* PGPASSWORD"),
        ("postgresql://u:hu/sh@hush@h/db", "is no database address"),
        ("postgresql://u:pa/hush@h", "is no database address"),
        ("postgresql://h/db?password=***", r"\*\*\* for a password"),
        ("mysql://u:hush@h/db", "is a mysql address; write postgresql://"),
        ("sqlite:///somewhere.db", "is a sqlite address"),
        ("postgresql+nodriver://u:hush@h/db", "names no SQLAlchemy driver"),
        ("postgresql://u:***@h/db", r"\*\*\* for a password"),
    ],
)
def test_an_address_that_is_none_is_bad_input(tmp_path: Path, address: str, message: str) -> None:
    error = failure(tmp_path, address)
    assert isinstance(error, InputError)
    with pytest.raises(InputError, match=message):
        raise error


def test_a_missing_driver_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr(sqlalchemy, "create_engine", missing)
    error = failure(tmp_path, "postgresql://u:hush@h/db")
    assert isinstance(error, InputError)
    assert "needs the driver psycopg, which is not installed" in str(error)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    error = failure(tmp_path, "postgresql://u:hush@127.0.0.1:1/db")
    assert isinstance(error, ServiceError)
    assert "postgresql+psycopg://u:***@127.0.0.1:1/db failed: connection" in str(error)
    assert "efused" in str(error)
    in_query = failure(tmp_path, "postgresql://u@127.0.0.1:1/db?password=hush")
    assert "u@127.0.0.1:1/db failed: connection" in str(in_query)


def test_what_a_server_refuses(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    wrong = failure(tmp_path, postgresql.url(password="hush"))
    assert isinstance(wrong, ServiceError)
    assert 'password authentication failed for user "llmops"' in str(wrong)
    missing = failure(tmp_path, postgresql.url(database="nowhere"))
    assert 'database "nowhere" does not exist' in str(missing)


def test_one_at_a_time_holds_the_lock_of_a_name(tmp_path: Path, storage: str | None) -> None:
    one, two = TrialStorage(storage, tmp_path / "study.db"), TrialStorage(storage, tmp_path / "study.db")
    inside: list[str] = []

    def wait_for_it() -> None:
        with two.locked("name"):
            inside.append("second")

    with one.locked("name") as now:
        assert abs(now - time.time()) < 60
        second = threading.Thread(target=wait_for_it)
        second.start()
        second.join(0.2)
        inside.append("first")
    second.join(10)
    assert inside == ["first", "second"]
    assert abs(one.now() - time.time()) < 60


def test_a_result_is_told_again_until_the_database_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("llmops.tuning.storage"), "PAUSES", (0, 0, 0))
    search = Search(tmp_path, SearchConfig(trials=1), TrainingConfig())
    trial = search.claim()
    assert trial is not None
    real, failures = search._storage.locked, iter([True, True, False])

    def sometimes(name: str) -> object:
        if next(failures):
            raise ServiceError("the database restarts")
        return real(name)

    monkeypatch.setattr(search._storage, "locked", sometimes)
    assert search.finish(trial, TrialOutcome(1.0))
    assert search.best().loss == 1.0


def test_a_file_with_unusual_characters_in_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "50% {of} it? a#b"
    folder.mkdir()
    storage = TrialStorage(None, folder / "study.db")
    assert storage.trials.get_all_studies() == []
    assert (folder / "study.db").is_file()
