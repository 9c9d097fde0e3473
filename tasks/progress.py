"""Stages of a flow as they happen: a line in the terminal, a progress artifact and two log lines in Prefect.

    with stage("Training") as line:
        line.update(done=40, total=120, detail="loss 0.71")
        line.finish("120 steps, loss 0.42")

The terminal shows stages only after `show_stages` has switched it on, which the command line does. A stage inside a
flow or task run also keeps a progress artifact with a stable key; one background thread writes it, so that
`update` costs the caller microseconds. Stages nest, also across Prefect's worker threads.
"""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from tasks.progress_artifacts import ProgressArtifact, running_in
from tasks.terminal_stages import StageLine, TerminalStages


class EndedEarly(Exception):  # noqa: N818 (it is no error)
    """What a stage was at has been ended on purpose, and what came out counts; the message says what that is."""


_terminal: TerminalStages | None = None
_depth: ContextVar[int] = ContextVar("stage_depth", default=0)


def show_stages(terminal: TerminalStages | None) -> None:
    """Show every stage of this process in a terminal from now on; None switches it off."""
    global _terminal
    _terminal = terminal


@dataclass
class Stage:
    """A stage under way; `stage` opens and closes it."""

    title: str
    depth: int
    line: StageLine | None
    artifact: ProgressArtifact | None
    outcome: str = ""
    started: float = field(default_factory=time.monotonic)

    def update(self, done: float, total: float | None, detail: str = "", unit: str = "") -> None:
        """Say how far it is.

        Args:
            done: how much is done, in the unit of `total`.
            total: how much there is; None while nobody knows.
            detail: a few words beside the bar.
            unit: in which `done` and `total` are said; the title tells it where it is left out.
        """
        if self.line is not None:
            self.line.update(done, total, detail, unit)
        if self.artifact is not None:
            self.artifact.update(100 * min(1.0, done / total) if total else 0.0, detail)

    def finish(self, outcome: str) -> None:
        """Say what came out; it is shown when the stage ends."""
        self.outcome = outcome


@contextmanager
def stage(title: str) -> Iterator[Stage]:
    """Open a stage; it ends with the block, with a cross if the block raises."""
    depth = _depth.get()
    token = _depth.set(depth + 1)
    run = running_in()
    current = Stage(
        title=title,
        depth=depth,
        line=_terminal.begin(title, depth) if _terminal is not None else None,
        artifact=ProgressArtifact(artifact_key(title), title, run) if run else None,
    )
    logger = run.logger() if run else logging.getLogger("llmops.stages")
    logger.info("%s: started", title)
    failed = True
    try:
        yield current
        failed = False
    except EndedEarly as ended:
        failed = False
        current.finish(str(ended))
        raise
    finally:
        _depth.reset(token)
        seconds = time.monotonic() - current.started
        if current.line is not None:
            current.line.end(current.outcome, failed=failed)
        if current.artifact is not None:
            current.artifact.end(current.outcome, failed=failed)
        said = f", {current.outcome}" if current.outcome else ""
        logger.log(
            logging.ERROR if failed else logging.INFO,
            "%s: %s after %.1f s%s",
            title,
            "failed" if failed else "finished",
            seconds,
            said,
        )


def artifact_key(title: str) -> str:
    """A title as Prefect wants its artifact keys: lower-case letters, digits and dashes.

    >>> artifact_key("Base model models:/support@champion")
    'progress-base-model-models-support-champion'
    """
    return f"progress-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}"
