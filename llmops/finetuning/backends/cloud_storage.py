"""Files in Google Cloud Storage, through its JSON API: there is no need for another SDK to upload two files.

https://cloud.google.com/storage/docs/json_api/v1
"""

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from llmops.finetuning.backends.backend import BackendError
from llmops.finetuning.backends.google_failures import failure_of_status, google_failures
from llmops.llm.providers.addresses import without_login
from llmops.llm.providers.http_failures import words_of

if TYPE_CHECKING:
    import requests

ATTEMPTS = 5
FIRST_DELAY_S = 1.0
_TIMEOUT_S = (20.0, 600.0)  # to connect; to the next byte of the answer, which comes after the whole upload


def authorized_session(credentials: Any) -> "requests.Session":
    """An HTTP session with Google's credentials, that asks again where it was refused for the moment."""
    from google.auth.transport.requests import AuthorizedSession
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=ATTEMPTS - 1,
        backoff_factor=FIRST_DELAY_S,
        status_forcelist=(408, 429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
    session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def upload(session: "requests.Session", file: Path, uri: str) -> bool:
    """Write a file to ``gs://bucket/name``, unless the very same content is there already.

    Returns:
        Whether anything was sent.

    Raises:
        BackendError: the bucket is missing or refuses, or what arrived is not what was sent.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    address = os.environ.get("STORAGE_EMULATOR_HOST") or "https://storage.googleapis.com"
    address = (address if "://" in address else f"http://{address}").rstrip("/")
    where = without_login(address)
    content = _content(file)
    found = f"{address}/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
    with google_failures(f"{uri} was not looked for", where):
        answer = session.get(found, params={"fields": "size,md5Hash"}, timeout=_TIMEOUT_S)
        if answer.status_code == 200 and _same(answer.json(), content):
            return False
    if answer.status_code not in (200, 404):
        raise _failure(answer, f"{uri} was not looked for", where)
    target = f"{address}/upload/storage/v1/b/{bucket}/o"
    with google_failures(f"{file.name} was not uploaded to {uri}", where), file.open("rb") as stream:
        answer = session.post(
            target,
            params={"uploadType": "media", "name": name},
            data=stream,
            headers={"Content-Type": "application/jsonl"},
            timeout=_TIMEOUT_S,
        )
        if answer.status_code == 200 and _same(answer.json(), content):
            return True
    if answer.status_code != 200:
        raise _failure(answer, f"{file.name} was not uploaded to {uri}", where)
    raise BackendError(f"{uri} is not what was sent ({where}): its checksum differs; try again", "unreachable")


def _content(file: Path) -> dict[str, str]:
    """Size and checksum, as Cloud Storage tells them of an object."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).digest()
    return {"size": str(file.stat().st_size), "md5Hash": base64.b64encode(digest).decode()}


def _same(told: dict[str, Any], content: dict[str, str]) -> bool:
    return all(told.get(field) == value for field, value in content.items())


def _failure(answer: "requests.Response", what: str, where: str) -> BackendError:
    try:
        words = words_of(answer.json())
    except ValueError:
        words = answer.reason or "no reason given"
    return failure_of_status(answer.status_code, words, what, where)
