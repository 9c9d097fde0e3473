"""Everything an evaluation needs, found and checked before the first question is asked and paid."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mlflow import MlflowClient

from llmops.data import DatasetVersion
from llmops.errors import InputError
from llmops.evaluation import GateConfig
from llmops.evaluation.config import EvaluationConfig
from llmops.evaluation.prompted import PromptedQuestions
from llmops.evaluation.questions import Questions
from llmops.llm.completions import Message
from llmops.prompts import PromptTemplate, load_prompt
from tasks.base_models import require_room_for_answers
from tasks.datasets import find_dataset, questions_of
from tasks.earlier_runs import KEY_TAG, EarlierRun, evaluation_key, find_earlier, is_earlier
from tasks.evaluation import repeat_figures
from tasks.model_sources import AskedModel, find_asked_model
from tasks.tracking import log_dataset, log_params
from tasks.wanted_metrics import OF_AN_ENDPOINT, Wanted, wanted_metrics

_OF_REPEATS = re.compile(r"\.(pass@\d+|pass\^\d+|flaky)$")


@dataclass(frozen=True)
class EvaluationPlan:
    """What is asked of whom, what is measured, and what it is compared with."""

    version: DatasetVersion
    questions: Questions
    prompt: PromptTemplate | None
    model: AskedModel
    baselines: Sequence[AskedModel | EarlierRun]
    wanted: Wanted
    evaluation: EvaluationConfig
    notes: list[str] = field(default_factory=list)

    @property
    def messages(self) -> Sequence[Sequence[Message]] | None:
        """What is sent for each question; None where it is the question's own messages."""
        return PromptedQuestions(self.prompt, self.questions) if self.prompt else None

    @property
    def key(self) -> str:
        """What a later evaluation has in common with this one if this is its ``last``."""
        return evaluation_key(self.version.name, self.evaluation.split, self.model.spec)


def plan_evaluation(
    dataset: str,
    model: str,
    prompt: str | None,
    metrics: Sequence[str] | None,
    baseline: Sequence[str],
    evaluation: EvaluationConfig,
    gate: GateConfig,
) -> EvaluationPlan:
    """Find and check it all.

    Raises:
        InputError: something that is named does not exist or cannot be used so.
    """
    version = find_dataset(dataset)
    questions = questions_of(version, evaluation.split)
    asked = find_asked_model(model, evaluation)
    others = [find_asked_model(spec, evaluation) for spec in baseline if not is_earlier(spec)]
    require_room_for_answers([one.spec for one in (asked, *others) if one.local], evaluation)
    wanted = wanted_metrics(metrics, evaluation, [asked, *others])
    _require_gated(gate, wanted, [asked, *others], evaluation)
    _require_prices(evaluation, [asked, *others, *_require_judges(evaluation, wanted)])
    plan = EvaluationPlan(
        version=version,
        questions=questions,
        prompt=load_prompt(prompt) if prompt else None,
        model=asked,
        baselines=others,
        wanted=wanted,
        evaluation=evaluation,
    )
    if plan.messages:
        plan.messages[0]  # a prompt that wants what no sample has is refused now
    _require_columns("evaluation.slices", evaluation.slices, questions)
    for one in (asked, *others):
        if one.replayed_column not in (None, "expected"):
            _require_columns(one.spec, [str(one.replayed_column)], questions)
    return _with_earlier(plan, baseline, gate)


def _with_earlier(plan: EvaluationPlan, baseline: Sequence[str], gate: GateConfig) -> EvaluationPlan:
    needed = [*(gate.margins or {}), *([gate.primary] if gate.primary else [])]
    models = iter(plan.baselines)
    found: list[AskedModel | EarlierRun] = []
    for spec in baseline:
        if not is_earlier(spec):
            found.append(next(models))
            continue
        metrics, questions = plan.wanted.by_name, plan.questions
        earlier = find_earlier(spec, plan.key, plan.version.name, metrics, needed=needed, questions=questions)
        if isinstance(earlier, str):
            plan.notes.append(earlier)
        else:
            repeated = repeat_figures(earlier.measured, plan.evaluation.repeats)
            found.append(replace(earlier, measured={**earlier.measured, **repeated}))
    return EvaluationPlan(**{**plan.__dict__, "baselines": found})


def _require_gated(
    gate: GateConfig, wanted: Wanted, models: Sequence[AskedModel], evaluation: EvaluationConfig
) -> None:
    """Refuse a gate on what will not be measured of every model that is asked."""
    for name in [*(gate.margins or {}), *([gate.primary] if gate.primary else [])]:
        found = _OF_REPEATS.search(name)
        base, repeats = (name[: found.start()], found[1]) if found else (name, "")
        for model in models:
            if base not in measurable(wanted, model):
                raise InputError(
                    f"gate: {name} is not measured of {model.label}; name it in metrics or take it out of the gate "
                    f"(measured: {', '.join(measurable(wanted, model))})"
                )
        if repeats and repeats not in (f"pass@{evaluation.repeats}", f"pass^{evaluation.repeats}", "flaky"):
            raise InputError(
                f"gate: {name} is not measured: with evaluation.repeats {evaluation.repeats} there are "
                f"{base}.pass@{evaluation.repeats}, {base}.pass^{evaluation.repeats} and {base}.flaky"
            )


def measurable(wanted: Wanted, model: AskedModel) -> list[str]:
    """The metrics that a model can be measured by: what an answer took, or how probable it was, may not be known."""
    left_out: set[str] = set()
    if model.replayed_column:
        left_out |= set(OF_AN_ENDPOINT)
    elif not model.priced:
        left_out.add("cost")
    by_name = wanted.by_name
    return [
        name for name, one in by_name.items() if name not in left_out and (model.local or not one.needs_token_scores)
    ]


def _require_judges(evaluation: EvaluationConfig, wanted: Wanted) -> list[AskedModel]:
    """The judges' models; InputError where there is none of a name."""
    panels = {**wanted.judges, **wanted.pairwise}
    plain = EvaluationConfig(client=evaluation.client)
    return [find_asked_model(name, plain) for panel in panels.values() for name in panel.models]


def _require_prices(evaluation: EvaluationConfig, models: Sequence[AskedModel]) -> None:
    for model in models:
        if evaluation.budget.max_cost is not None and not model.priced and not model.replayed_column:
            raise InputError(
                f"evaluation.budget.max_cost: the price of {model.spec} is not known, so this budget cannot be kept; "
                "give its price in a file of LLMOPS_MODEL_CATALOGUE, or set max_tokens instead"
            )


def _require_columns(what: str, columns: Sequence[str], questions: Questions) -> None:
    if not columns:
        return
    known = {name for row in questions.metadata for name in row}
    for column in columns:
        if column not in known:
            raise InputError(
                f"{what}: no question has the metadata {column!r}; there are: {', '.join(sorted(known)) or 'none'}"
            )


def record_plan(run_id: str, plan: EvaluationPlan, gate: GateConfig) -> None:
    """Leave in an MLflow run what is going to be done: parameters, dataset and prompt."""
    baselines = [one.spec if isinstance(one, AskedModel) else f"run:{one.run_id}" for one in plan.baselines]
    log_params(
        run_id,
        {
            "model": plan.model.spec,
            "prompt": plan.prompt.uri if plan.prompt else None,
            "metrics": list(plan.wanted.by_name),
            "baseline": baselines,
            **plan.evaluation.model_dump(mode="json"),
            "gate": gate.model_dump(mode="json"),
        },
    )
    record_inputs(run_id, plan)


def record_inputs(run_id: str, plan: EvaluationPlan) -> None:
    """Link the dataset version and the prompt to an MLflow run."""
    log_dataset(run_id, plan.version, "evaluation")
    if plan.prompt is not None:
        client = MlflowClient()
        _, name, version = plan.prompt.uri.rsplit("/", 2)
        client.link_prompt_version_to_run(run_id, client.get_prompt_version(name, version))


def run_tags(plan: EvaluationPlan) -> dict[str, str]:
    """Tags of the run by which people and later evaluations find it."""
    tags = {"model": plan.model.spec, KEY_TAG: plan.key}
    return tags | ({"prompt": plan.prompt.uri} if plan.prompt else {})
