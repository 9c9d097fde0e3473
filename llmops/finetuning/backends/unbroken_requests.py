"""A request that costs money once it is sent, and must not be cut short by an interruption."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

GRACE_SECONDS = 10.0

Answer = TypeVar("Answer")


def unbroken(request: Callable[[], Answer]) -> Answer:
    """Send a request, and let it end before an interruption of this thread goes on its way.

    Cut short it may be carried out all the same, after whoever looks for what it makes has found nothing. An
    interruption waits ten seconds at most; a second one does not.

    Raises:
        BaseException: what the request raises, or the interruption.

    >>> unbroken(lambda: 6 * 7)
    42
    """
    outcome: Future[Answer] = Future()
    ended = threading.Event()

    def send() -> None:
        try:
            outcome.set_result(request())
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            outcome.set_exception(error)
        finally:
            ended.set()

    # A signal interrupts the main thread alone, and a daemon does not keep the process.
    thread = threading.Thread(target=send, name="unbroken-request", daemon=True)
    try:
        thread.start()
        return outcome.result()
    finally:
        ended.wait(GRACE_SECONDS)
