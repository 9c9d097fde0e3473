"""One request over aiohttp, with the address and the headers that an SDK's client has worked out.

The SDKs of OpenAI and Anthropic take 0.7 ms of processor time a request, three times what the request itself takes, and
with 200 requests in flight that is what limits an evaluation. What they know (where, which key, which organisation) is
settled once; what is left of a plain request is a POST.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import orjson

from llmops.llm.failures import FailureKind
from llmops.llm.providers.addresses import basic_login, without_login
from llmops.llm.providers.http_failures import (
    code_of,
    connection_error,
    deadline,
    json_body,
    malformed,
    status_error,
    words_of,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession


class DirectPost:
    """Posts JSON to one address with the same headers each time; lives on the event loop that uses it first."""

    def __init__(self, url: str, headers: Mapping[str, Any]) -> None:
        self._url = without_login(url)
        # Where a header shall be left out, an SDK has an object of its own in its place.
        self._headers = {name: value for name, value in headers.items() if isinstance(value, str)}
        if (login := basic_login(url)) is not None:
            # As in the SDKs, whose HTTP client puts it before the key; aiohttp would refuse to choose.
            self._headers = {name: one for name, one in self._headers.items() if name.lower() != "authorization"}
            self._headers["Authorization"] = login
        self._session: ClientSession | None = None

    async def send(
        self,
        body: Mapping[str, Any],
        timeout_s: float,
        kind_of_error: Callable[[Mapping[str, Any]], FailureKind | None],
    ) -> dict[str, Any]:
        """Send a body, return the answer's.

        Args:
            kind_of_error: what the body of an error says beyond its status.

        Raises:
            ModelError: no answer, or one that is not a JSON object.
        """
        import aiohttp

        content = json_body(body)
        async with deadline(timeout_s):
            try:
                async with self._open().post(self._url, data=content) as response:
                    raw = await response.read()
            except (aiohttp.ClientError, OSError) as error:
                raise connection_error(error) from error
        try:
            answer: Any = orjson.loads(raw)
        except ValueError:
            answer = raw.decode(errors="replace")
        if response.status != 200:
            kind = kind_of_error(answer) if isinstance(answer, dict) else None
            raise status_error(response.status, words_of(answer), response.headers, kind, code_of(answer))
        if not isinstance(answer, dict):
            raise malformed("the answer is not a JSON object", answer)
        return answer

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> "ClientSession":
        import aiohttp

        if self._session is None:
            # Whoever asks bounds the requests in flight and their time. Where the environment names a proxy it is used;
            # where it does not, looking for one costs a thread's work for each request.
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trust_env=bool(getproxies()),
            )
        return self._session
