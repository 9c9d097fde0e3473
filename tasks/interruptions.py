"""Ctrl-C and SIGTERM, and a cancellation on Prefect's page, while a step is under way that must not be torn apart."""

import os
import signal
import threading
import traceback
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
_CANCELLATION = signal.SIGUSR1


class FlowRunCancelledError(LlmopsError):
    """Somebody has cancelled the flow run in Prefect; its process ends with the status of an interrupted one."""

    exit_status: ClassVar[int] = 130


class _Cancelled(KeyboardInterrupt):
    """Interrupts whatever is under way as Ctrl-C does: an event loop, say, keeps any other exception to itself."""


_watching = threading.Event()
"""Set while the main thread is inside `watched_for_cancellation`."""


@contextmanager
def interruption_held_back() -> Iterator[None]:
    """Let the block end before an interruption, or a cancellation that is watched for, takes effect.

    It is held back for at most ten seconds; a second one is not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    held: list[int] = []
    timers: list[threading.Timer] = []
    numbers = (*_SIGNALS, _CANCELLATION) if _watching.is_set() else _SIGNALS
    before = {number: signal.getsignal(number) for number in numbers}

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

    for number in numbers:
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
    where a server has pages on which people can cancel. Inside another such block, which looks already, the innermost
    is the one that raises.
    """
    watched = bool(flow_run_ids) and settings().prefect_api_url is not None
    if not watched or threading.current_thread() is not threading.main_thread():
        yield
        return
    if _watching.is_set():
        with _told():
            yield
        return
    over = threading.Event()
    before = signal.getsignal(_CANCELLATION)

    def cancelled(_number: int, _frame: FrameType | None) -> None:
        if not over.is_set():
            over.set()
            raise _Cancelled

    signal.signal(_CANCELLATION, cancelled)
    _watching.set()
    main = threading.main_thread()

    def tell() -> None:
        assert main.ident is not None
        signal.pthread_kill(main.ident, _CANCELLATION)

    threading.Thread(target=_look, args=(flow_run_ids, over, tell), name="cancellation-watch", daemon=True).start()
    try:
        with _told():
            yield
    finally:
        over.set()
        _watching.clear()
        # By default the signal ends the process, and it may be on its way.
        signal.signal(_CANCELLATION, signal.SIG_IGN if before == signal.SIG_DFL else before)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _Cancelled as error:
        release_frames(error)
        raise FlowRunCancelledError("the flow run was cancelled in Prefect") from None


def release_frames(error: BaseException | None) -> None:
    """Let go of what the frames of an interruption hold, and of what it interrupted.

    The frames of an interrupted query keep its cursor, and an open cursor keeps SQLite's file locked.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


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
