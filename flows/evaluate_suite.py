"""Run one evaluation suite: every model is evaluated, compared and gated, and who listens is told what changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow

from flows.evaluate import evaluate
from llmops.data import DatasetVersion
from llmops.errors import InputError, LlmopsError, ServiceError
from llmops.evaluation.suites import MAIN_CONTEXT, Suite, find_suite
from tasks.datasets import find_dataset
from tasks.name_lock import name_lock
from tasks.suite_conclusions import announce_outcome, announce_unmeasured, publish_suite
from tasks.suite_history import CONTEXT_TAG, SUITE_TAG, record_state, resolve_baselines
from tasks.suite_results import ModelOutcome, SuiteResult, outcome_of
from tasks.tracking import log_dataset, log_params, set_tags, tracked_run

# How long another run of the suite is given to end.
WAIT_SECONDS = 3600.0


@flow(name="evaluate-suite")
def evaluate_suite(suite: str, file: str = "configs/evaluation.yaml", context: str = MAIN_CONTEXT) -> SuiteResult:
    """Run one evaluation suite: every model is evaluated, compared and gated, and who listens is told what changed.

    Args:
        suite: its name.
        file: the YAML file whose section `suites` has it.
        context: main, or a name of what is tried out (a pull request, a branch): it is compared with the runs of main,
            and is neither news nor what later runs are compared with.
    """
    chosen = find_suite(Path(file), suite)
    version = find_version(suite, chosen, context)
    outcomes: list[ModelOutcome] = []
    failures: list[tuple[str, LlmopsError]] = []
    with (
        # Two runs of one suite would both take themselves for the news.
        name_lock(f"suite.{suite}", WAIT_SECONDS),
        tracked_run(f"suite {suite}", experiment=version.name, tags={SUITE_TAG: suite, CONTEXT_TAG: context}) as run,
    ):
        log_params(
            run.run_id, {"suite": suite, "context": context, **chosen.model_dump(mode="json", exclude={"schedule"})}
        )
        log_dataset(run.run_id, version, "evaluation")
        for model in chosen.models:
            try:
                evaluated = evaluate(version.uri, model, **arguments(suite, chosen, model))
            except Exception as error:
                announce_unmeasured(suite, model, error, version.name, context)
                if not isinstance(error, LlmopsError):
                    raise
                # One model's outage does not leave the others unmeasured.
                failures.append((model, error))
                continue
            outcome = outcome_of(model, evaluated)
            record_state(outcome.run_id, suite, model, "passed" if outcome.passed else "failed", context)
            outcomes.append(announce_outcome(suite, outcome, context))
        result = SuiteResult(suite=suite, dataset=version.uri, run_id=run.run_id, outcomes=outcomes)
        set_tags(run.run_id, {"passed": str(result.passed and not failures).lower()})
        publish_suite(result, failures)
        if failures:
            raise failure_of(suite, failures, len(chosen.models))
    return result


def find_version(suite: str, chosen: Suite, context: str) -> DatasetVersion:
    """The version that every model is asked; without one no model can be evaluated, and that is said of each."""
    try:
        return find_dataset(chosen.dataset)
    except LlmopsError as error:
        for model in chosen.models:
            announce_unmeasured(suite, model, error, chosen.dataset.partition("@")[0], context)
        raise


def failure_of(suite: str, failures: Sequence[tuple[str, LlmopsError]], models: int) -> LlmopsError:
    """What a suite ends with that could not evaluate every model, so that nobody takes it for passed."""
    model, error = failures[0]
    others = f" ({models - len(failures)} of the suite's {models} models were evaluated)" if models > 1 else ""
    kind = InputError if error.exit_status == InputError.exit_status else ServiceError
    return kind(f"suite {suite}, {model}: {error}{others}")


def arguments(suite: str, chosen: Suite, model: str) -> dict[str, Any]:
    """What a model of a suite is evaluated with; what the suite leaves open stays the flow's own default."""
    open_ended = {
        "prompt": chosen.prompt,
        "metrics": list(chosen.metrics) if chosen.metrics else None,
        "concurrency": chosen.concurrency,
    }
    return {
        "baseline": resolve_baselines(suite, model, chosen.baseline),
        "evaluation": chosen.evaluation,
        "gate": chosen.gate,
        **{name: value for name, value in open_ended.items() if value is not None},
    }


if __name__ == "__main__":
    from flows.cli import run_flow

    run_flow("evaluate-suite")
