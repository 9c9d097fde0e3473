"""What each contestant is given, and what it says when it is done."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL = "local"
RIGHT = 0.8


@dataclass(frozen=True)
class Job:
    """So many questions for the endpoint, so many at once.

    Attributes:
        base_url: of the endpoint, as an OpenAI client is given it.
        questions: how many.
        concurrency: requests in flight at once.
        label: makes the questions of this run others than those of any other run, so that nothing is remembered.
        folder: for what is written, empty at first and kept from one job of a contestant to the next.
    """

    base_url: str
    questions: int
    concurrency: int
    label: str
    folder: str

    def pairs(self) -> list[tuple[str, str]]:
        """Questions with their right answers."""
        return [(f"{self.label}: what is {n} times {n + 7}?", str(n * (n + 7))) for n in range(self.questions)]

    def answers(self) -> dict[str, str]:
        """What the endpoint shall answer: four times right, then once wrong."""
        return {question: right if n % 5 else "no idea" for n, (question, right) in enumerate(self.pairs())}


@dataclass(frozen=True)
class Run:
    """What it took.

    Attributes:
        seconds: asking, storing and scoring, without anything that comes before the first request.
        whole_s: of the process, from its start.
        right: share of right answers by its own scores; None where it does not score.
    """

    seconds: float
    whole_s: float
    right: float | None = None


def contestant(compete: Callable[[Job], Run | tuple[float, float | None]]) -> None:
    """Be a contestant's process: the job is the only argument, and the run is the last line printed.

    Args:
        compete: does the job and gives the run, or only its seconds and share of right answers.
    """
    import psutil

    done: Any = compete(Job(**json.loads(sys.argv[1])))
    if not isinstance(done, Run):
        seconds, right = done
        done = Run(seconds, time.time() - psutil.Process().create_time(), right)
    print(json.dumps(asdict(done)), flush=True)


def folder_of(job: Job) -> Path:
    """The job's folder."""
    return Path(job.folder)
