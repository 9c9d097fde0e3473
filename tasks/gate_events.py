"""The Prefect events that automations react to: what a suite's gate came to, and another champion.

====================================  ==================================================
``llmops.gate.failed``                the gate failed, and passed (or never ran) before
``llmops.gate.still_failing``         it failed, as it did before
``llmops.gate.recovered``             it passes, and failed before
``llmops.gate.passed``                it passes, as it did before (or on its first run)
``llmops.suite.broken``               a model of a suite could not be evaluated, and could before
``llmops.model.promoted``             a registered model has another champion
====================================  ==================================================
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llmops.settings import settings

GateState = Literal["passed", "failed"]
GateNews = Literal["failed", "still_failing", "recovered", "passed"]
News = Literal[GateNews, "broken"]
GATE_EVENT = "llmops.gate."
BROKEN_EVENT = "llmops.suite.broken"
PROMOTED_EVENT = "llmops.model.promoted"
MODEL_LABEL = "llmops.model"


def event_of(news: News) -> str:
    """The name of the event that says something.

    >>> event_of("failed"), event_of("broken")
    ('llmops.gate.failed', 'llmops.suite.broken')
    """
    return BROKEN_EVENT if news == "broken" else f"{GATE_EVENT}{news}"


def gate_news(before: GateState | None, now: GateState) -> GateNews:
    """What is new about a gate.

    >>> gate_news(None, "failed"), gate_news("passed", "failed"), gate_news("failed", "failed")
    ('failed', 'failed', 'still_failing')
    >>> gate_news(None, "passed"), gate_news("passed", "passed"), gate_news("failed", "passed")
    ('passed', 'passed', 'recovered')
    """
    if now == "failed":
        return "still_failing" if before == "failed" else "failed"
    return "recovered" if before == "failed" else "passed"


def announce_gate(
    news: GateNews, suite: str, model: str, run_id: str, verdict: str | None, sentence: str, worst: Sequence[str]
) -> bool:
    """Emit what is new about a gate, with all that a notification needs.

    Args:
        news: the end of the event's name.
        suite: the suite that ran.
        model: the model that was evaluated.
        run_id: MLflow run of the evaluation.
        verdict: of the comparison that decided; None where there was nothing to compare with.
        sentence: the gate's sentence.
        worst: what got worse, in sentences.

    Returns:
        Whether a server that stays has it.
    """
    payload = {
        "suite": suite,
        "model": model,
        "verdict": verdict,
        "sentence": sentence,
        "regressions": list(worst),
        "run_id": run_id,
        "url": run_url(run_id),
    }
    return _emit(event_of(news), _resource(suite, model), payload)


def announce_broken(suite: str, model: str, error: str) -> bool:
    """Emit that a model of a suite could not be evaluated; the flow run, whose log has more, is in the event.

    Returns:
        Whether a server that stays has it.
    """
    from prefect.runtime import flow_run

    payload = {
        "suite": suite,
        "model": model,
        "sentence": error,
        "regressions": [],
        "flow_run": flow_run.get_flow_run_ui_url() or flow_run.get_id(),
    }
    return _emit(BROKEN_EVENT, _resource(suite, model), payload)


def _resource(suite: str, model: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"llmops.suite.{suite}",
        "prefect.resource.name": suite,
        "llmops.suite": suite,
        MODEL_LABEL: model,
    }


def announce_promotion(name: str, version: str, reason: str) -> bool:
    """Emit that a version of a registered model became its champion; suites with ``on_promotion`` run on it."""
    resource = {
        "prefect.resource.id": f"llmops.model.{name}",
        "prefect.resource.name": name,
        MODEL_LABEL: name,
    }
    return _emit(PROMOTED_EVENT, resource, {"name": name, "version": version, "reason": reason})


def run_url(run_id: str) -> str | None:
    """Where a browser shows an MLflow run; None where no server does."""
    from mlflow import MlflowClient

    server = settings().tracking_uri
    if not server.startswith("http"):
        return None
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def _emit(event: str, resource: Mapping[str, str], payload: Mapping[str, Any]) -> bool:
    """Send an event to a Prefect server that stays, and see that it took it.

    The server of a command of its own ends with the command, and no automation listens there. Through the API rather
    than `emit_event`, which hands over to a thread in the background and does not say whether it arrived.
    """
    if settings().prefect_api_url is None:
        return False
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.events import Event, RelatedResource, Resource
    from prefect.runtime import flow_run

    running = {"prefect.resource.id": f"prefect.flow-run.{flow_run.get_id()}", "prefect.resource.role": "flow-run"}
    made = Event(
        event=event,
        resource=Resource(dict(resource)),
        related=[RelatedResource(running)] if flow_run.get_id() else [],
        payload=dict(payload),
    )
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[made.model_dump(mode="json")])
    except httpx.HTTPError as error:
        logging.getLogger(__name__).warning("the event %s was not delivered: %s", event, error)
        return False
    return True
