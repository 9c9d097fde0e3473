"""What the earlier runs of a suite came to: read from the tags of their MLflow runs, so that it outlives every process.

A run counts as *announced* once its event has reached a Prefect server that stays, where automations listen. The gate's
state is read from announced runs only: what failed while nobody listened is still news to those who listen later.
"""

from mlflow import MlflowClient
from mlflow.entities import Run

from llmops.evaluation.suites import LAST, LAST_PASSED
from tasks.gate_events import GateState
from tasks.tracking import set_tags

SUITE_TAG = "llmops.suite"
MODEL_TAG = "llmops.suite_model"
STATE_TAG = "llmops.gate.state"
EVENT_TAG = "llmops.gate.event"
ANNOUNCED_TAG = "llmops.gate.announced"


def record_state(run_id: str, suite: str, model: str, state: GateState) -> None:
    """Make a model's evaluation one of the suite's runs."""
    set_tags(run_id, {SUITE_TAG: suite, MODEL_TAG: model, STATE_TAG: state})


def record_announcement(run_id: str, event: str) -> None:
    """Note that a run's event has been delivered."""
    set_tags(run_id, {EVENT_TAG: event, ANNOUNCED_TAG: "yes"})


def announced_state(suite: str, model: str) -> GateState | None:
    """What was said last about the gate of a suite and model; None where nothing was."""
    run = _newest(suite, model, {ANNOUNCED_TAG: "yes"})
    if run is None:
        return None
    return "passed" if run.data.tags[STATE_TAG] == "passed" else "failed"


def resolve_baselines(suite: str, model: str, baselines: tuple[str, ...]) -> list[str]:
    """Baselines with ``last`` and ``last-passed`` as the runs they name; those that name none yet are left out."""
    wanted: dict[str, dict[str, str]] = {LAST: {}, LAST_PASSED: {STATE_TAG: "passed"}}
    found = []
    for baseline in baselines:
        if baseline not in wanted:
            found.append(baseline)
        elif (run := _newest(suite, model, wanted[baseline])) is not None:
            found.append(f"run:{run.info.run_id}")
    return list(dict.fromkeys(found))


def _newest(suite: str, model: str, tags: dict[str, str]) -> Run | None:
    """The newest finished run of a suite and model with these tags, in whatever experiment it is."""
    client = MlflowClient()
    conditions = [f"tags.`{name}` = '{value}'" for name, value in ({SUITE_TAG: suite, MODEL_TAG: model} | tags).items()]
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments(max_results=1000)],
        " and ".join([*conditions, f"tags.`{STATE_TAG}` != ''", "attributes.status = 'FINISHED'"]),
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return runs[0] if runs else None
