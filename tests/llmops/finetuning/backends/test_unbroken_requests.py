"""A request and an interruption that comes while it is under way."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from llmops.finetuning.backends.unbroken_requests import unbroken


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """What Ctrl-C does in a command; what ran here before may have ignored it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def test_it_ends_before_the_interruption_goes_on() -> None:
    ended = []

    def request() -> None:
        interrupt()
        time.sleep(0.2)
        ended.append("carried out")

    with pytest.raises(KeyboardInterrupt):
        unbroken(request)
    assert ended == ["carried out"]


def test_a_second_interruption_does_not_wait() -> None:
    answer = threading.Event()

    def request() -> None:
        interrupt()
        time.sleep(0.2)
        interrupt()
        answer.wait(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        unbroken(request)
    answer.set()
    assert time.monotonic() - began < 9, "nor until the grace is over"


def test_its_failure_is_the_requests_own() -> None:
    def request() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        unbroken(request)
