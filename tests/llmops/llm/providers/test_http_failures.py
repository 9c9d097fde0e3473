"""Statuses and headers as kinds of failure and seconds to wait."""

import asyncio
import email.utils
import time

import pytest

from llmops.llm.failures import ModelError
from llmops.llm.providers.http_failures import connection_error, deadline, kind_of, retry_after_s, words_of


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((429,), "rate_limited"),
        ((503, 529), "overloaded"),
        ((500, 502, 504, 520, 409), "server"),
        ((408,), "timeout"),
        ((400, 413, 415, 422, 424), "rejected"),
        ((401, 403), "unauthorized"),
        ((404,), "not_found"),
        ((402,), "quota"),
        ((302,), "malformed"),
    ],
)
def test_the_kind_of_every_status(statuses: tuple[int, ...], kind: str) -> None:
    assert {kind_of(status) for status in statuses} == {kind}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "in a while"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
def test_seconds_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_a_date_to_wait_for_is_counted_from_now() -> None:
    at = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert retry_after_s({"Retry-After": at}) == pytest.approx(60, abs=2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "slow down", "code": 1}}, "slow down"),
        ({"error": "no such model"}, "no such model"),
        ({"Message": "denied"}, "denied"),
        ({"detail": [{"msg": "bad"}]}, "[{'msg': 'bad'}]"),
        ("<html>" + "x" * 1000, "<html>" + "x" * 494),
    ],
)
def test_the_words_of_an_error_wherever_they_stand(body: object, words: str) -> None:
    assert words_of(body) == words


def test_the_first_cause_of_a_broken_connection_is_told() -> None:
    try:
        try:
            raise ConnectionResetError("reset by peer")
        except OSError as cause:
            raise RuntimeError("Connection error.") from cause
    except RuntimeError as error:
        failure = connection_error(error)
    assert (failure.kind, failure.message) == ("connection", "ConnectionResetError: reset by peer")


def test_a_deadline_is_a_failure_and_a_cancellation_is_none() -> None:
    async def sleep_within(seconds: float) -> None:
        async with deadline(seconds):
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(sleep_within(60))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(ModelError) as late:
        asyncio.run(sleep_within(0.01))
    assert late.value.kind == "timeout"
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
