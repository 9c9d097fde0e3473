"""Evaluations of before, to be compared with: their statistics are read, nothing is asked or scored again.

A baseline is ``run:ID`` (a person pinned it: one that cannot be compared with is bad input), ``last``, or what a suite
makes of its ``last`` and ``last-passed``: ``last-passed@run:ID``. Of these three nobody promised that they can be
compared with what is measured now, so one that cannot is left out, and the evaluation says so.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.evaluation.comparison.measured_tables import from_table
from llmops.evaluation.metrics.metric import Measured, Metric
from llmops.evaluation.questions import Questions
from llmops.evaluation.suites import LAST, LAST_PASSED
from tasks.evaluated_samples import STATISTICS_FILE

RUN = "run:"
VOCABULARY_TAG = "evaluation.vocabulary"
KEY_TAG = "evaluation.of"
_OF_A_SUITE = re.compile(f"({LAST}|{LAST_PASSED})@{RUN}(.+)")
_CALLED = {LAST: "The last run", LAST_PASSED: "The last passing run"}


@dataclass(frozen=True)
class EarlierRun:
    """A finished evaluation: who it evaluated, and what it measured by the metrics that are known now."""

    run_id: str
    label: str
    measured: Mapping[str, Measured]
    vocabulary: str | None


def is_earlier(baseline: str) -> bool:
    """Whether a baseline is an evaluation of before rather than a model that is asked.

    >>> [is_earlier(one) for one in ("last", "run:0a1b", "last-passed@run:0a1b", "openai/gpt-5")]
    [True, True, True, False]
    """
    return baseline == LAST or baseline.startswith(RUN) or _OF_A_SUITE.fullmatch(baseline) is not None


def evaluation_key(dataset: str, split: str, model: str) -> str:
    """What two evaluations have in common of which the later is compared with the ``last``."""
    return content_digest([dataset, split, model])


def find_earlier(
    baseline: str,
    key: str,
    experiment: str,
    metrics: Mapping[str, Metric],
    *,
    needed: Sequence[str] = (),
    questions: Questions | None = None,
) -> EarlierRun | str:
    """The evaluation that a baseline names, or the sentence that says why there is none to compare with.

    Args:
        baseline: see above; ``last`` is the newest finished evaluation of the same model on the same dataset.
        key: see `evaluation_key`.
        experiment: where the last one is looked for.
        metrics: those that are measured now.
        needed: those that the gate names; without any, one that both were measured by is enough.
        questions: what is asked now.

    Raises:
        InputError: there is no run of a pinned id, or it cannot be compared with.
    """
    if baseline.startswith(RUN):
        run_id = baseline.removeprefix(RUN)
        found = _read(_named(run_id), run_id[:8], metrics, needed, questions)
        if isinstance(found, str):
            raise InputError(f"baseline {baseline}: the run {found}; name another run")
        return found
    of_a_suite = _OF_A_SUITE.fullmatch(baseline)
    name = of_a_suite[1] if of_a_suite else LAST
    run = _named(of_a_suite[2]) if of_a_suite else _last(key, experiment)
    if run is None:
        return "There is no last evaluation of this model on this dataset yet to compare with."
    found = _read(run, name, metrics, needed, questions)
    return (
        f"{_CALLED[name]} ({run.info.run_id[:8]}) {found}: this run starts anew." if isinstance(found, str) else found
    )


def _read(
    run: Run, name: str, metrics: Mapping[str, Metric], needed: Sequence[str], questions: Questions | None
) -> EarlierRun | str:
    """What a run measured on the questions asked now, or what it lacks, as the end of a sentence."""
    client, run_id = MlflowClient(), run.info.run_id
    if STATISTICS_FILE not in {file.path for file in client.list_artifacts(run_id)}:
        return f"left no {STATISTICS_FILE}, so it is no finished evaluation"
    with tempfile.TemporaryDirectory() as folder:
        table = pq.read_table(Path(client.download_artifacts(run_id, STATISTICS_FILE, folder)))
    measured = from_table(table, metrics)
    if missing := [name for name in needed if name not in measured]:
        return f"was not measured by {', '.join(missing)}"
    if not measured:
        return f"was not measured by any of {', '.join(metrics)}"
    if questions is not None:
        # `compare` refuses a metric without a common question, whether it is gated or not.
        measured = {one: its for one, its in measured.items() if np.isin(its.ids, questions.ids).any()}
        if not measured or any(one not in measured for one in needed):
            return "has no measured question in common with those that are asked now"
        if any(_groups_differ(its, questions) for its in measured.values()):
            return "has its questions in other groups than those that are asked now"
    label = f"{run.data.tags.get('model', 'run')} ({name})"
    return EarlierRun(run_id, label, measured, run.data.tags.get(VOCABULARY_TAG))


def _groups_differ(measured: Measured, questions: Questions) -> bool:
    _, before, now = np.intersect1d(measured.ids, questions.ids, return_indices=True)
    return bool((measured.groups[before] != questions.groups[now]).any())


def _named(run_id: str) -> Run:
    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
        raise InputError(f"there is no MLflow run {run_id!r}; `llmops list runs` shows the newest") from error


def _last(key: str, experiment: str) -> Run | None:
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    runs = client.search_runs(
        [found.experiment_id],
        f"tags.`{KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return runs[0] if runs else None
