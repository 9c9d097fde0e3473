"""Why trainings of a search fail: by their own settings, or because something around them is broken."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from prefect.exceptions import CancelledRun

from llmops.errors import LlmopsError, ServiceError
from llmops.tuning import Trial
from tasks.interruptions import FlowRunCancelledError

LONGEST_REASON = 300
TRIED_AGAIN = "the same command tries it once more"
# So many different trials that fail alike, one after another, are hardly all to blame.
MOST_ALIKE = 3


class TrialFailedError(LlmopsError):
    """The training of a trial raised; the search has been told and goes on."""


class TrialsFailAlikeError(LlmopsError):
    """Different trials failed alike, one after another: the command ends before it has given all of them up."""


def not_its_doing(error: BaseException) -> bool:
    """Whether a training was ended by something around it: an interruption, a service, MLflow, a full disk."""
    around = ServiceError | MlflowException | OSError | CancelledRun | FlowRunCancelledError
    return not isinstance(error, Exception) or isinstance(error, around)


@contextmanager
def around_in_a_line() -> Iterator[None]:
    """Errors of MLflow and of the operating system as one line that says how to go on.

    Raises:
        ServiceError: there was one.
    """
    try:
        yield
    except (MlflowException, OSError) as error:
        raise ServiceError(f"{in_a_line(error)}; mend that, and the same command goes on") from error


def in_a_line(error: BaseException) -> str:
    """An error as a reason: its kind, and the first line of what it says.

    >>> in_a_line(RuntimeError("out of memory\\nin a kernel"))
    'RuntimeError: out of memory'
    """
    said = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {said}".removesuffix(": ")[:LONGEST_REASON]


class FailuresInARow:
    """Counts trials that raise for the first time, one after another and with the same type of exception.

    One that raises again does not count: while others train, that is its own doing.
    """

    def __init__(self) -> None:
        self._kind: type[BaseException] | None = None
        self._trials: list[str] = []

    def end(self) -> None:
        """A trial has trained."""
        self._trials.clear()

    def add(self, trial: Trial, error: BaseException) -> None:
        """A trial has raised this.

        Raises:
            TrialsFailAlikeError: it was one too many.
        """
        if trial.errors:
            return
        if type(error) is not self._kind:
            self._kind = type(error)
            self._trials.clear()
        self._trials.append(str(trial.number + 1))
        if len(self._trials) >= MOST_ALIKE:
            raise TrialsFailAlikeError(
                f"trials {', '.join(self._trials)} failed alike, one after another: {in_a_line(error)}; mend that, or "
                "narrow search.space if their values are the cause, and the same command tries them once more"
            )
