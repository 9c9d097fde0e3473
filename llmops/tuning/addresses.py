"""Addresses of databases as people write them, and as they may be shown."""

from typing import Any

from llmops.errors import InputError

SECRET = "***"
WRITE = "write postgresql://USER@HOST/DATABASE with the password in PGPASSWORD or ~/.pgpass"


def parse(address: str) -> Any:
    """An address as SQLAlchemy's URL, for psycopg.

    Raises:
        InputError: it is none, or none of PostgreSQL; the message never has a part of the address that may be secret.
    """
    url = _parsed(address)
    if url is None:
        raise InputError(f"search.storage is no database address that can be read without doubt; {WRITE}")
    if SECRET in secrets_of(url):
        raise InputError(f"search.storage has *** for a password, as it is shown; {WRITE}")
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "postgresql":
        raise InputError(
            f"search.storage is a {url.drivername} address; write postgresql://…, or leave it out for a SQLite file"
        )
    return url


def shown(address: str) -> str:
    """An address with *** for its password, or without one in its query; *** where it cannot be read without doubt.

    >>> shown("postgresql://team:hush@db.example/search?password=hush")
    'postgresql://team:***@db.example/search'
    >>> shown("postgresql://team:a@b@db.example/search")
    '***'
    """
    url = _parsed(address)
    return SECRET if url is None else rendered(url)


def rendered(url: Any) -> str:
    """A URL as text with *** for its password, and without one in its query."""
    return str(url.difference_update_query(["password"]).render_as_string(hide_password=True))


def secrets_of(url: Any) -> list[str]:
    """The passwords in a URL."""
    in_query = url.query.get("password", ())
    found = [url.password, *([in_query] if isinstance(in_query, str) else in_query)]
    return [str(one) for one in found if one]


def _parsed(address: str) -> Any:
    """The URL, or None where it is none or a part of a password may have ended up elsewhere: behind an @ or a /."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return None
    # As it is written, for %2F in a password is no doubt.
    userinfo = address.partition("://")[2].rpartition("@")[0]
    return None if any(sign in userinfo for sign in "@/?#") else url
