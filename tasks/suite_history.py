"""What the earlier runs of a suite came to: read from the tags of their MLflow runs, so that it outlives every process.

A run counts as *announced* once its event has reached a Prefect server that stays, where automations listen. The gate's
state is read from announced runs only: what failed while nobody listened is still news to those who listen later.

A run belongs to a *context*: ``main``, or a pull request's or a branch's own. Whatever its context, a run is compared
with runs of ``main``, and only these make the state of the gate: what someone tries out moves nobody's baseline.
"""

from mlflow import MlflowClient
from mlflow.entities import Run

from llmops.evaluation.suites import LAST, LAST_PASSED, MAIN_CONTEXT
from tasks.gate_events import GateState
from tasks.tracking import set_tags, tracked_run

SUITE_TAG = "llmops.suite"
MODEL_TAG = "llmops.suite_model"
CONTEXT_TAG = "llmops.suite_context"
STATE_TAG = "llmops.gate.state"
EVENT_TAG = "llmops.gate.event"
ANNOUNCED_TAG = "llmops.gate.announced"
BROKEN_TAG = "llmops.suite.broken"
_EVALUATED = f"tags.`{STATE_TAG}` != ''"


def record_state(run_id: str, suite: str, model: str, state: GateState, context: str = MAIN_CONTEXT) -> None:
    """Make a model's evaluation one of the suite's runs."""
    set_tags(run_id, {SUITE_TAG: suite, MODEL_TAG: model, CONTEXT_TAG: context, STATE_TAG: state})


def record_announcement(run_id: str, event: str) -> None:
    """Note that a run's event has been delivered."""
    set_tags(run_id, {EVENT_TAG: event, ANNOUNCED_TAG: "yes"})


def record_broken(suite: str, model: str, experiment: str, error: str) -> None:
    """Note that it has been said that a model could not be evaluated, in a run of its own: it left none to tag."""
    tags = {SUITE_TAG: suite, MODEL_TAG: model, CONTEXT_TAG: MAIN_CONTEXT, BROKEN_TAG: "yes", "error": error[:4000]}
    with tracked_run(f"not evaluated: {model}", experiment=experiment, tags=tags):
        pass


def announced_state(suite: str, model: str) -> GateState | None:
    """What was said last about the gate of a suite and model; None where nothing was."""
    run = _newest(suite, model, _EVALUATED, f"tags.`{ANNOUNCED_TAG}` = 'yes'")
    if run is None:
        return None
    return "passed" if run.data.tags[STATE_TAG] == "passed" else "failed"


def announced_broken(suite: str, model: str) -> bool:
    """Whether it has been said that a model cannot be evaluated, and it has not been evaluated since."""
    broken = _newest(suite, model, f"tags.`{BROKEN_TAG}` = 'yes'")
    if broken is None:
        return False
    evaluated = _newest(suite, model, _EVALUATED)
    return evaluated is None or evaluated.info.start_time < broken.info.start_time


def resolve_baselines(suite: str, model: str, baselines: tuple[str, ...]) -> list[str]:
    """Baselines with ``last`` and ``last-passed`` followed by the run that they name, as in ``last@run:ID``.

    Those that name none yet are left out. Of two that name the same run the first stays.
    """
    wanted = {LAST: (_EVALUATED,), LAST_PASSED: (f"tags.`{STATE_TAG}` = 'passed'",)}
    found: dict[str, str] = {}
    for baseline in baselines:
        if baseline not in wanted:
            found.setdefault(baseline, baseline)
        elif (run := _newest(suite, model, *wanted[baseline])) is not None:
            found.setdefault(f"run:{run.info.run_id}", f"{baseline}@run:{run.info.run_id}")
    return list(found.values())


def _newest(suite: str, model: str, *conditions: str) -> Run | None:
    """The newest finished run of a suite and model in the context ``main``, in whatever experiment it is."""
    client = MlflowClient()
    tags = {SUITE_TAG: suite, MODEL_TAG: model, CONTEXT_TAG: MAIN_CONTEXT}
    wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments(max_results=1000)],
        " and ".join([*wanted, *conditions, "attributes.status = 'FINISHED'"]),
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return runs[0] if runs else None
