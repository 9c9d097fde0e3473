"""Ctrl-C and SIGTERM, and a cancellation on Prefect's page, while a step is under way that must not be torn apart."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import ClassVar
from uuid import UUID

from llmops.errors import LlmopsError
from llmops.settings import settings

GRACE_SECONDS = 10.0
LOOK_SECONDS = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class FlowRunCancelledError(LlmopsError):
    """Somebody has cancelled the flow run in Prefect; its process ends with the status of an interrupted one."""

    exit_status: ClassVar[int] = 130


class _Cancelled(BaseException):
    """Interrupts whatever is under way; no exception that a library below would take for one of its own."""


@contextmanager
def interruption_held_back() -> Iterator[None]:
    """Let the block end before an interruption takes effect, for at most ten seconds; a second one is not held back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    held: list[int] = []
    timers: list[threading.Timer] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hold(number: int, _frame: FrameType | None) -> None:
        if held:
            held.clear()
            restore()
            signal.raise_signal(number)
            return
        held.append(number)
        timer = threading.Timer(GRACE_SECONDS, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    for number in _SIGNALS:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        restore()
        if held:
            signal.raise_signal(held[0])


@contextmanager
def watched_for_cancellation(flow_run_ids: Sequence[str]) -> Iterator[None]:
    """Raise `FlowRunCancelledError` inside the block soon after one of these flow runs was cancelled in Prefect.

    Prefect stops the process of a deployment's run; nobody stops that of a command, which has to look itself. It looks
    where a server has pages on which people can cancel.
    """
    watched = bool(flow_run_ids) and settings().prefect_api_url is not None
    if not watched or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()
    before = signal.getsignal(signal.SIGUSR1)

    def cancelled(_number: int, _frame: FrameType | None) -> None:
        if not over.is_set():
            over.set()
            raise _Cancelled

    signal.signal(signal.SIGUSR1, cancelled)
    main = threading.main_thread()

    def tell() -> None:
        assert main.ident is not None
        signal.pthread_kill(main.ident, signal.SIGUSR1)

    threading.Thread(target=_look, args=(flow_run_ids, over, tell), name="cancellation-watch", daemon=True).start()
    try:
        yield
    except _Cancelled:
        raise FlowRunCancelledError("the flow run was cancelled in Prefect") from None
    finally:
        over.set()
        # By default the signal ends the process, and it may be on its way.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN if before == signal.SIG_DFL else before)


def _look(flow_run_ids: Sequence[str], over: threading.Event, tell: Callable[[], None]) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        while not over.wait(LOOK_SECONDS):
            for flow_run_id in flow_run_ids:
                with suppress(Exception):  # a server that does not answer now is asked again
                    state = client.read_flow_run(UUID(flow_run_id)).state
                    if state is not None and (state.is_cancelling() or state.is_cancelled()):
                        tell()
                        return


def end_cancelled_flow_run(flow_run_id: UUID) -> None:
    """Bring a cancelled flow run from Cancelling to Cancelled, as Prefect's runner does with those that it runs."""
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelled

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
        if state is not None and state.is_cancelling():
            client.set_flow_run_state(flow_run_id, Cancelled(), force=True)
