"""Where searches are kept in these tests: a SQLite file, and a PostgreSQL server of our own."""

from collections.abc import Iterator

import pytest

from tests.emulators.postgresql_server import PostgresqlServer, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server; its tests are skipped where there is none to start."""
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str | None:
    """What `search.storage` is set to: nothing, or the address of a server."""
    if request.param == "sqlite":
        return None
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.url()
