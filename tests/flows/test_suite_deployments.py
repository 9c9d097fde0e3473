"""What `llmops up` keeps in Prefect of suites and channels: made, changed with the files, and removed."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows.automations import keep_automations, notification
from flows.suite_deployments import deploy_suites, schedules_of
from llmops.evaluation.suites import Schedule, Suite
from tasks.notifications import BODY, SUBJECT, Channel, SlackChannel, WebhookChannel, wording

FILE = Path("configs/evaluation.yaml")


def suite(**fields: Any) -> Suite:
    return Suite.model_validate({"dataset": "d", "models": ["models:/adder@champion", "openai/gpt-5"], **fields})


@pytest.fixture
def client(prefect_server: str) -> Iterator[Any]:
    """A client of a Prefect server with the flow's own deployment."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as made:
        with suppress(ObjectAlreadyExists):
            made.create_work_pool(WorkPoolCreate(name="llmops", type="process"))
        flow_id = made.create_flow_from_name("evaluate-suite")
        made.create_deployment(
            flow_id, "local", work_pool_name="llmops", path="/project", entrypoint="flows/evaluate_suite.py:x"
        )
        yield made


def deployed(client: Any) -> dict[str, Any]:
    return {one.name: one for one in client.read_deployments() if "suite" in one.tags}


def test_suites_become_deployments_change_and_go(client: Any) -> None:
    first = {"a": suite(schedule={"interval": 60}), "b": suite(schedule={"cron": "0 6 * * *", "active": False})}
    ids = deploy_suites(first, FILE).suites
    there = deployed(client)
    assert set(there) == {"a", "b"}
    a, b = there["a"], there["b"]
    assert (a.parameters, a.work_pool_name, a.path, a.entrypoint) == (
        {"suite": "a", "file": "configs/evaluation.yaml"},
        "llmops",
        "/project",
        "flows/evaluate_suite.py:x",
    )
    assert (a.schedules[0].schedule.interval.total_seconds(), a.schedules[0].active) == (60, True)
    assert (b.schedules[0].schedule.cron, b.schedules[0].active) == ("0 6 * * *", False)
    assert a.global_concurrency_limit.limit == 1
    assert a.concurrency_options.collision_strategy == "CANCEL_NEW"

    changed = deploy_suites({"a": suite(schedule={"interval": 90}), "c": suite()}, FILE).suites
    there = deployed(client)
    assert set(there) == {"a", "c"}
    assert changed["a"] == ids["a"]
    assert [one.schedule.interval.total_seconds() for one in there["a"].schedules] == [90]
    assert there["c"].schedules == []

    assert deploy_suites({"a": suite()}, FILE).suites == {"a": ids["a"]}
    assert deployed(client)["a"].schedules == []
    assert deploy_suites({}, FILE).suites == {}
    assert deployed(client) == {}


def test_a_slot_that_nobody_gave_back_does_not_stop_a_suite_for_ever(client: Any) -> None:
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    deploy_suites({"a": suite()}, FILE)
    limit = deployed(client)["a"].global_concurrency_limit
    client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=1))
    deploy_suites({"a": suite()}, FILE)
    assert deployed(client)["a"].global_concurrency_limit.active_slots == 0


def automations(client: Any) -> dict[str, Any]:
    return {one.name: one for one in client.read_automations() if one.name.startswith("llmops: ")}


def keep(channels: Mapping[str, Channel], suites: Mapping[str, Suite], flow_id: UUID) -> None:
    keep_automations(channels, suites, FILE, flow_id)


def test_channels_and_promotions_become_automations_change_and_go(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/hook")
    monkeypatch.setenv("SLACK", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX")
    suites = {"a": suite(on_promotion=True), "b": suite()}
    flow_id = deploy_suites(suites, FILE).flow
    hook = WebhookChannel(type="webhook", url_from="HOOK")
    keep({"hook": hook}, suites, flow_id)
    there = automations(client)
    assert set(there) == {"llmops: notify hook", "llmops: a on promotion"}
    notify, run = there["llmops: notify hook"], there["llmops: a on promotion"]
    assert notify.trigger.expect == {"llmops.gate.failed", "llmops.suite.broken"}
    assert (notify.actions[0].type, notify.actions[0].body) == ("send-notification", BODY)
    assert run.trigger.expect == {"llmops.model.promoted"}
    assert run.trigger.match.root == {"llmops.model": ["adder"]}
    assert (run.actions[0].deployment_id, run.actions[0].parameters) == (
        flow_id,
        {"suite": "a", "file": "configs/evaluation.yaml"},
    )

    # Paused on its page: stays so. Another type under the same name: another block. Made by hand: left alone.
    client.pause_automation(notify.id)
    same_block = notify.actions[0].block_document_id
    theirs = notification("theirs", hook, same_block).model_copy(update={"name": "llmops: by hand"})
    by_hand = client.create_automation(theirs)
    slack = SlackChannel(type="slack", url_from="SLACK", events=("failed", "recovered"))
    keep({"hook": slack}, {"b": suite()}, flow_id)
    there = automations(client)
    assert set(there) == {"llmops: notify hook", "llmops: by hand"}
    assert (there["llmops: notify hook"].id, there["llmops: notify hook"].enabled) == (notify.id, False)
    assert there["llmops: notify hook"].trigger.expect == {"llmops.gate.failed", "llmops.gate.recovered"}
    blocks = [block for block in client.read_block_documents() if block.name == "llmops-notify-hook"]
    assert [block.block_type.slug for block in blocks] == ["slack-webhook"]

    keep({}, {}, flow_id)
    assert set(automations(client)) == {"llmops: by hand"}
    assert not [block for block in client.read_block_documents() if (block.name or "").startswith("llmops-notify-")]
    client.delete_automation(by_hand)


def test_the_subject_says_what_happened() -> None:
    from jinja2 import Environment

    made = notification("x", SlackChannel(type="slack", url_from="S", events=("failed", "recovered")), UUID(int=1))
    event = {
        "event": "llmops.gate.recovered",
        "resource": {"name": "sums"},
        "payload": {"model": "openai/adder", "sentence": "Not worse.", "regressions": ["one"], "url": "http://m/#/r"},
    }
    action = made.actions[0]
    assert Environment().from_string(action.subject).render(event=event) == "sums: openai/adder passes its gate again"
    body = Environment().from_string(action.body).render(event=event)
    assert [line for line in body.splitlines() if line] == ["Not worse.", "- one", "MLflow run: http://m/#/r"]
    assert SUBJECT % wording("failed") in SUBJECT % "fails its gate"


def test_of_a_suite_that_is_broken_the_error_and_the_flow_run_are_told() -> None:
    from jinja2 import Environment

    action = notification("x", SlackChannel(type="slack", url_from="S"), UUID(int=1)).actions[0]
    payload = {"model": "openai/adder", "sentence": "no answer", "regressions": [], "flow_run": "http://p/runs/1"}
    event = {"event": "llmops.suite.broken", "resource": {"name": "sums"}, "payload": payload}
    subject = Environment().from_string(action.subject).render(event=event)
    assert subject == "sums: openai/adder could not be evaluated"
    body = Environment().from_string(action.body).render(event=event)
    assert [line for line in body.splitlines() if line] == ["no answer", "Prefect flow run: http://p/runs/1"]


def test_prefect_takes_every_schedule_that_a_suite_takes() -> None:
    for cron in ("0 6 * * *", "*/5 8-18 * * mon-fri", "0 0 1 jan *"):
        (made,) = schedules_of(Schedule(cron=cron, timezone="Europe/Berlin"))
        assert made.schedule.timezone == "Europe/Berlin"
    assert schedules_of(None) == []
