"""Addresses of endpoints with a user and a password in them, as gateways are sometimes reached."""

import base64
from urllib.parse import unquote, urlsplit


def without_login(address: str) -> str:
    """An address as it may be written down.

    >>> without_login("https://ann:secret@gateway.example.com:8443/v1"), without_login("http://127.0.0.1:11434")
    ('https://gateway.example.com:8443/v1', 'http://127.0.0.1:11434')
    """
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else address


def basic_login(address: str) -> str | None:
    """The header ``Authorization`` that an address asks for; None where it names nobody.

    >>> basic_login("https://ann:s%40fe@example.com/v1"), basic_login("https://example.com/v1")
    ('Basic YW5uOnNAZmU=', None)
    """
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return None
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"
