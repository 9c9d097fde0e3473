"""What a suite's run leaves: the event of each model's gate, and a page in Prefect that keeps its history."""

from collections.abc import Sequence

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from llmops.evaluation.suites import MAIN_CONTEXT
from tasks.gate_events import announce_broken, announce_gate, gate_news, run_url
from tasks.report import artifact_key, markdown_table, run_link
from tasks.suite_history import announced_broken, announced_state, record_announcement, record_broken
from tasks.suite_results import ModelOutcome, SuiteResult


@task(name="announce gate", cache_policy=NO_CACHE)
def announce_outcome(suite: str, outcome: ModelOutcome, context: str = MAIN_CONTEXT) -> ModelOutcome:
    """Say what is new about a model's gate, and note in its MLflow run that it was said.

    In this order: a process that dies in between says it once more with the next run, rather than never. What a run
    of another context than ``main`` comes to is no news.
    """
    news = gate_news(announced_state(suite, outcome.model), "passed" if outcome.passed else "failed")
    said = context == MAIN_CONTEXT and announce_gate(
        news, suite, outcome.model, outcome.run_id, outcome.verdict, outcome.sentence, outcome.worst
    )
    if said:
        record_announcement(outcome.run_id, news)
    why = "no lasting Prefect server to tell" if context == MAIN_CONTEXT else f"not told: context {context}"
    get_run_logger().info("%s: gate %s%s", outcome.model, news, "" if said else f" ({why})")
    return outcome.model_copy(update={"news": news, "url": run_url(outcome.run_id)})


@task(name="announce broken", cache_policy=NO_CACHE)
def announce_unmeasured(suite: str, model: str, error: Exception, experiment: str, context: str) -> None:
    """Say that a model could not be evaluated, unless that was said and it has not been evaluated since."""
    if context != MAIN_CONTEXT or announced_broken(suite, model):
        return
    sentence = " ".join(str(error).split()) or type(error).__name__
    if announce_broken(suite, model, sentence):
        record_broken(suite, model, experiment, sentence)


def publish_suite(result: SuiteResult, failures: Sequence[tuple[str, Exception]]) -> None:
    """A suite's verdicts as a Prefect artifact; one key a suite, so that Prefect keeps their history."""
    rows = [
        [one.model, "passed" if one.passed else "**failed**", one.verdict or "–", one.sentence, run_link(one.run_id)]
        for one in result.outcomes
    ]
    rows += [[model, "not evaluated", "–", str(error), ""] for model, error in failures]
    text = f"# Suite {result.suite} on {result.dataset}\n\n" + markdown_table(
        ["model", "gate", "verdict", "why", "MLflow run"], rows
    )
    text += "".join(f"\n- {one.model}: {note}" for one in result.outcomes for note in one.notes)
    create_markdown_artifact(text, key=f"suite-{artifact_key(result.suite)}", description=f"Suite {result.suite}")
