"""Two evaluations of the same questions: the gate, what broke and what was fixed, the slices, what judges prefer."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mlflow import MlflowClient

from llmops.errors import InputError
from llmops.evaluation import Comparison, GateConfig, Measured, compare, estimates
from llmops.evaluation.comparison.changes import Change, find_changes
from llmops.evaluation.comparison.slices import Slice, compare_slices, slice_table
from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.judges.config import JudgeConfig
from llmops.evaluation.questions import Questions
from tasks.earlier_runs import EarlierRun
from tasks.evaluated_samples import SAMPLES_FILE
from tasks.evaluation import Assessed
from tasks.evaluation_result import ChangedQuestion, ChangedQuestions, ComparedWith
from tasks.judging import JudgeAsker, Preference, prefer
from tasks.run_budget import RunBudget

LISTED = 50
OF_REPEATS = (".pass@", ".pass^", ".flaky")
Side = Mapping[str, Measured]


def compare_with(
    run_id: str,
    candidate: Assessed,
    other: Assessed | EarlierRun,
    other_run_id: str,
    questions: Questions,
    gate: GateConfig,
    evaluation: EvaluationConfig,
    pairwise: Mapping[str, JudgeConfig],
    budget: RunBudget,
) -> ComparedWith:
    """Compare a candidate with one other model, or with an evaluation of before.

    Args:
        run_id: the candidate's MLflow run.
        candidate: what it is worth.
        other: what it is compared with.
        other_run_id: the MLflow run of that.
        questions: what was asked.
        gate: what decides.
        evaluation: slices, and how judges are asked.
        pairwise: panels that compare the two's answers.
        budget: what these may spend.

    Raises:
        InputError: the two cannot be compared by what is gated.
    """
    mine, theirs, narrowed = comparable(candidate, other, gate)
    figures = dict(other.figures) if isinstance(other, Assessed) else estimates(other.measured)
    if (comparison := unmeasured(candidate.label, mine, other.label, theirs, narrowed)) is not None:
        return ComparedWith(model=other.label, run_id=other_run_id, metrics=figures, comparison=comparison)
    comparison = compare(mine, theirs, narrowed, seed=evaluation.seed)
    changes = find_changes(candidate.measured[comparison.primary], other.measured[comparison.primary], most=LISTED)
    slices: list[Slice] = []
    if evaluation.slices:
        slices = compare_slices(
            mine, theirs, questions.ids, questions.metadata, evaluation.slices, narrowed, seed=evaluation.seed
        )
    return ComparedWith(
        model=other.label,
        run_id=other_run_id,
        metrics=figures,
        comparison=comparison,
        changes=ChangedQuestions(
            metric=changes.label,
            compared=changes.compared,
            regressed=changes.regressed,
            fixed=changes.fixed,
            regressions=_with_texts(changes.regressions, questions, run_id, other_run_id),
            fixes=_with_texts(changes.fixes, questions, run_id, other_run_id),
        ),
        slices=slices,
        preferences=_preferences(run_id, candidate, other, questions, evaluation, pairwise, budget),
    )


def comparable(candidate: Assessed, other: Assessed | EarlierRun, gate: GateConfig) -> tuple[Side, Side, GateConfig]:
    """What both were measured by, of each, and the gate over that.

    Loss, perplexity and token accuracy count tokens, so between models with different vocabularies they are left out.
    What repeats tell (pass@k and so on) repeats its metric and is taken only where the gate names it.

    Raises:
        InputError: the gate's primary metric does not compare.
    """
    names = [name for name in candidate.measured if name in other.measured]
    if candidate.vocabulary is None or candidate.vocabulary != other.vocabulary:
        lost = [name for name in names if candidate.measured[name].metric.needs_token_scores]
        if gate.primary in lost:
            raise InputError(
                f"{candidate.label} and {other.label} have different vocabularies, so {gate.primary} does not compare; "
                "choose a primary metric of the text"
            )
        names = [name for name in names if name not in lost]
        if gate.margins:
            gate = gate.for_metrics([name for name in gate.margins if name not in lost])
    named = {*(gate.margins or {}), gate.primary}
    shown = [name for name in names if name in named or not any(sign in name for sign in OF_REPEATS)]

    def side(measured: Side) -> Side:
        # What the gate names and only one side was measured by stays, so that the gate says which one was not.
        return {name: one for name, one in measured.items() if name in shown or (name in named and name not in names)}

    return side(candidate.measured), side(other.measured), gate


def unmeasured(name: str, mine: Side, other: str, theirs: Side, gate: GateConfig) -> Comparison | None:
    """The answer where a gated metric was asked for and gave nothing, such as a judge without a readable verdict."""
    for metric in [*(gate.margins or {}), *([gate.primary] if gate.primary else [])]:
        lacking = [label for label, side in ((name, mine), (other, theirs)) if metric not in side]
        if lacking:
            return Comparison(
                verdict="inconclusive",
                passed=gate.inconclusive_passes,
                primary=gate.primary or metric,
                verdicts={},
                differences={},
                compared=0,
                sentence=f"Inconclusive: no answer of {' and of '.join(lacking)} could be measured by {metric}.",
            )
    return None


def _with_texts(
    changes: Sequence[Change], questions: Questions, run_id: str, other_run_id: str
) -> list[ChangedQuestion]:
    """Changes with what was asked, wanted and answered, read from what the two runs left."""
    if not changes:
        return []
    ids = [change.id for change in changes]
    before, after = (_outputs(one, ids) for one in (other_run_id, run_id))
    place = {str(one): number for number, one in enumerate(questions.ids)}
    found = []
    for change in changes:
        [row] = questions.table.slice(place[change.id], 1).select(["input", "references"]).to_pylist()
        found.append(
            ChangedQuestion(
                input=row["input"],
                expected=row["references"][0] if row["references"] else "",
                before=before.get(change.id, ""),
                after=after.get(change.id, ""),
                change=change.change,
            )
        )
    return found


def _outputs(run_id: str, ids: Sequence[str]) -> dict[str, str]:
    """First answers of a run to some questions."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(MlflowClient().download_artifacts(run_id, SAMPLES_FILE, folder))
        table = pq.read_table(file, columns=["id", "outputs"], filters=pc.is_in(pc.field("id"), pa.array(ids)))
    rows = zip(table["id"].to_pylist(), table["outputs"].to_pylist(), strict=True)
    return {key: next((text for text in texts if text is not None), "") for key, texts in rows}


def _preferences(
    run_id: str,
    candidate: Assessed,
    other: Assessed | EarlierRun,
    questions: Questions,
    evaluation: EvaluationConfig,
    pairwise: Mapping[str, JudgeConfig],
    budget: RunBudget,
) -> list[Preference]:
    if not pairwise or isinstance(other, EarlierRun) or candidate.answers is None or other.answers is None:
        return []
    (mine, first), (theirs, second) = candidate.answers, other.answers
    # One answer a question: a judge compares two texts.
    _, here = np.unique(mine, return_index=True)
    _, there = np.unique(theirs, return_index=True)
    common, one, two = np.intersect1d(mine[here], theirs[there], return_indices=True)
    if not len(common):
        return []
    pair = first.take(here[one].tolist()), second.take(there[two].tolist())
    groups = questions.groups[common]
    asked = (
        prefer(name, config, *pair, groups, other.label, JudgeAsker(evaluation, budget, run_id, name))
        for name, config in pairwise.items()
    )
    return [preference for preference in asked if preference is not None]


def log_comparison(run_id: str, compared: Sequence[ComparedWith]) -> None:
    """Each difference with its interval as metrics, and the tables of slices and of changed questions."""
    client = MlflowClient()
    for number, one in enumerate(compared):
        folder = "comparison" if number == 0 else f"comparison-{number + 1}"
        client.log_dict(run_id, one.comparison.model_dump(mode="json"), f"{folder}/verdict.json")
        if one.slices:
            client.log_table(run_id, slice_table(one.slices).to_pandas(), f"{folder}/slices.json")
        if one.changes is not None and (one.changes.regressions or one.changes.fixes):
            rows = [{"what": "broke", **change.model_dump()} for change in one.changes.regressions]
            rows += [{"what": "fixed", **change.model_dump()} for change in one.changes.fixes]
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            client.log_table(run_id, columns, f"{folder}/changed_questions.json")
