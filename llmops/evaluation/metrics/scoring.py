"""Rows of many answers by many metrics, in chunks, over several processes where that pays."""

from collections.abc import Iterator, Sequence

import numpy as np

from llmops.errors import InputError
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric

CHUNK = 512
"""Most answers that are measured at once."""

CHUNK_CHARACTERS = 1_000_000
"""Characters of outputs and references after which a chunk is closed: memory stays flat with long texts too."""

WORTH_A_PROCESS = 2_000_000
"""Characters of answers below which other processes take longer to start than they save."""


def score(metrics: Sequence[Metric], answers: Answers, processes: int = 1) -> dict[str, FloatArray]:
    """Each metric's rows for m answers, (m, k), by its name; NaN throughout the row of an answer that is not measured.

    A row depends on its answer alone: scored in slices, answers have the same rows. With processes > 1 the metrics
    that take long run in so many processes; they are started once, at the first large input, kept for later calls,
    and end when they have been idle for five minutes.

    Raises InputError for lengths that do not fit, and for a metric that needs what the answers do not have.

    >>> from llmops.evaluation.metrics.measurement import build_metrics
    >>> rows = score(build_metrics(["exact_match"]), Answers(["a", "b", "c"], [["a"], ["a", "c"], []]))
    >>> rows["exact_match"].tolist()
    [[1.0, 1.0], [0.0, 1.0], [nan, nan]]
    """
    _check(metrics, answers)
    apart = [metric for metric in metrics if metric.parallel]
    rows = {metric.name: _rows(metric, answers) for metric in metrics if not metric.parallel}
    rows.update(_in_chunks(apart, answers, processes))
    return {metric.name: rows[metric.name] for metric in metrics}


def _in_chunks(metrics: Sequence[Metric], answers: Answers, processes: int) -> dict[str, FloatArray]:
    if not metrics:
        return {}
    chunks = _chunks(answers)
    if processes > 1 and len(answers) > CHUNK and sum(map(len, answers.outputs)) >= WORTH_A_PROCESS:
        from joblib import Parallel, delayed

        # joblib's processes start without the caller's main module, serve calls from any thread, and end by
        # themselves when whoever started them was killed; those of concurrent.futures do none of these.
        done = Parallel(n_jobs=processes, batch_size=1)(delayed(_chunk_rows)(metrics, chunk) for chunk in chunks)
    else:
        done = [_chunk_rows(metrics, chunk) for chunk in chunks]
    return {metric.name: np.concatenate(parts) for metric, parts in zip(metrics, zip(*done, strict=True), strict=True)}


def _chunks(answers: Answers) -> Iterator[Answers]:
    start = characters = 0
    for place, (output, references) in enumerate(zip(answers.outputs, answers.references, strict=True)):
        characters += len(output) + sum(map(len, references))
        if place - start + 1 == CHUNK or characters >= CHUNK_CHARACTERS:
            yield _slice(answers, start, place + 1)
            start, characters = place + 1, 0
    if start < len(answers) or not len(answers):
        yield _slice(answers, start, len(answers))


def _slice(answers: Answers, start: int, stop: int) -> Answers:
    return Answers(answers.outputs[start:stop], answers.references[start:stop], answers.inputs[start:stop])


def _chunk_rows(metrics: Sequence[Metric], answers: Answers) -> list[FloatArray]:
    return [_rows(metric, answers) for metric in metrics]


def _rows(metric: Metric, answers: Answers) -> FloatArray:
    if not metric.needs_references or all(answers.references):
        return metric.rows(answers)
    measurable = [place for place, references in enumerate(answers.references) if references]
    found = metric.rows(answers.take(measurable))
    rows = np.full((len(answers), found.shape[1]), np.nan)
    rows[measurable] = found
    return rows


def _check(metrics: Sequence[Metric], answers: Answers) -> None:
    for name in ("references", "inputs", "contexts", "metadata", "ids"):
        given = len(getattr(answers, name))
        if given != len(answers) and (given or name == "references"):
            raise InputError(f"{given} {name} for {len(answers)} answers; give one for each")
    for metric in metrics:
        if metric.needs_token_scores and answers.token_scores is None:
            raise InputError(f"{metric.name} needs token scores, and none were given; leave it out or score the model")
