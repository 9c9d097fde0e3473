"""The automations that `llmops up` keeps: a notification for each channel, and suites that run on a promotion.

Those it made belong to one resource, so that it knows them again; what people make by hand stays as it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from flows.suite_deployments import parameters_of
from llmops.evaluation.suites import Suite
from tasks.gate_events import MODEL_LABEL, PROMOTED_EVENT, event_of
from tasks.notifications import BODY, SUBJECT, Channel, wording

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

OWNER = "llmops.up"
BLOCK_PREFIX = "llmops-notify-"


def keep_automations(channels: Mapping[str, Channel], suites: Mapping[str, Suite], file: Path, flow_id: UUID) -> None:
    """Bring blocks and automations up to date with the files, and remove those of channels and suites that are gone.

    Args:
        channels: who is told.
        suites: those with ``on_promotion`` run on one.
        file: the file that holds the suites.
        flow_id: deployment that runs any suite.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        blocks = {name: save_block(name, channel) for name, channel in channels.items()}
        wanted = [notification(name, channel, blocks[name]) for name, channel in channels.items()]
        wanted += [after_promotion(name, suite, file, flow_id) for name, suite in suites.items() if suite.on_promotion]
        there = {one.name: one for one in client.read_resource_related_automations(OWNER)}
        for automation in wanted:
            before = there.pop(automation.name, None)
            if before is None:
                client.create_automation(automation.model_copy(update={"owner_resource": OWNER}))
            else:
                client.update_automation(before.id, automation.model_copy(update={"enabled": before.enabled}))
        for gone in there.values():
            client.delete_automation(gone.id)
        remove_other_blocks(client, set(blocks.values()))


def save_block(name: str, channel: Channel) -> UUID:
    """Save a channel's block, over the one that is there."""
    saved = channel.block().save(f"{BLOCK_PREFIX}{name}", overwrite=True)
    assert isinstance(saved, UUID)
    return saved


def remove_other_blocks(client: "SyncPrefectClient", kept: set[UUID]) -> None:
    """Remove the blocks of channels that are gone, or whose type has changed, with their secrets."""
    for block in client.read_block_documents(include_secrets=False, limit=200):
        if block.name is not None and block.name.startswith(BLOCK_PREFIX) and block.id not in kept:
            client.delete_block_document(block.id)


def notification(name: str, channel: Channel, block_id: UUID) -> "AutomationCore":
    """Tell a channel the news of suites that it wants to hear, each once."""
    from prefect.events.actions import SendNotification
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    ends = "".join(
        f"{{% {'el' if place else ''}if event.event == '{event_of(news)}' %}}{wording(news)}"
        for place, news in enumerate(channel.events)
    )
    return AutomationCore(
        name=f"llmops: notify {name}",
        description=f"Made by `llmops up` from configs/notifications.yaml, channel {name}.",
        trigger=EventTrigger(expect=channel.expected, posture=Posture.Reactive, threshold=1),
        actions=[SendNotification(block_document_id=block_id, subject=SUBJECT % f"{ends}{{% endif %}}", body=BODY)],
    )


def after_promotion(name: str, suite: Suite, file: Path, flow_id: UUID) -> "AutomationCore":
    """Run a suite when one of its registered models gets another champion."""
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    return AutomationCore(
        name=f"llmops: {name} on promotion",
        description=f"Made by `llmops up` from configs/evaluation.yaml, suite {name}.",
        trigger=EventTrigger(
            expect={PROMOTED_EVENT},
            match={MODEL_LABEL: list(suite.registered_models)},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[RunDeployment(source="selected", deployment_id=flow_id, parameters=dict(parameters_of(name, file)))],
    )
