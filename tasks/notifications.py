"""Who hears of a gate: the channels of ``configs/notifications.yaml``, each as one of Prefect's notification blocks.

A secret stands in an environment variable that the file names, never in the file; Prefect keeps it encrypted in the
block. Email goes through the same block as Slack: it hands any address of the Apprise library on, and ``mailtos://…``
is one, where Prefect's only block for email is one provider's (Sendgrid).
"""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmops.config_files import read_entries
from llmops.errors import InputError
from tasks.gate_events import News, event_of

if TYPE_CHECKING:
    from prefect.blocks.abstract import NotificationBlock

SUBJECT = "{{ event.resource.name }}: {{ event.payload.model }} %s"
BODY = """{{ event.payload.sentence }}
{% for regression in event.payload.regressions %}- {{ regression }}
{% endfor %}
{% if event.payload.flow_run %}Prefect flow run: {{ event.payload.flow_run }}
{%- else %}MLflow run: {{ event.payload.url or event.payload.run_id }}{% endif %}"""


_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Channel(BaseModel):
    """What all channels have: which news of a suite they are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: tuple[News, ...] = Field(default=("failed", "broken"), min_length=1)

    @property
    def expected(self) -> set[str]:
        """Names of the Prefect events it is told of."""
        return {event_of(news) for news in self.events}

    def check_secrets(self) -> None:
        """See that its secrets are in the environment, without importing Prefect.

        Raises:
            InputError: one is not, or is none that can be used.
        """
        raise NotImplementedError

    def block(self) -> "NotificationBlock":
        """Prefect's block."""
        raise NotImplementedError


class SlackChannel(Channel):
    """A Slack incoming webhook."""

    type: Literal["slack"]
    url_from: str

    def check_secrets(self) -> None:
        """See that there is an address."""
        apprise_address(self.url_from)

    def block(self) -> "NotificationBlock":
        """Prefect's block."""
        from prefect.blocks.notifications import SlackWebhook

        return SlackWebhook(url=secret(self.url_from))


class EmailChannel(Channel):
    """Email over SMTP, as Apprise writes it: ``mailtos://user:password@host?from=…&to=…`` (``mailto:`` without TLS)."""

    type: Literal["email"]
    url_from: str

    def check_secrets(self) -> None:
        """See that there is an address, of email."""
        if not apprise_address(self.url_from).startswith(("mailto://", "mailtos://")):
            raise InputError(f"the environment variable {self.url_from} does not hold a mailtos://… address")

    def block(self) -> "NotificationBlock":
        """Prefect's block."""
        from prefect.blocks.notifications import SlackWebhook

        return SlackWebhook(url=secret(self.url_from))


class PagerDutyChannel(Channel):
    """A PagerDuty service, through its Events API v2."""

    type: Literal["pagerduty"]
    integration_key_from: str
    api_key_from: str
    region: Literal["us", "eu"] = "us"

    def check_secrets(self) -> None:
        """See that there are both keys."""
        for variable in (self.integration_key_from, self.api_key_from):
            secret(variable)

    def block(self) -> "NotificationBlock":
        """Prefect's block."""
        from prefect.blocks.notifications import PagerDutyWebHook

        keys = {"integration_key": secret(self.integration_key_from), "api_key": secret(self.api_key_from)}
        return PagerDutyWebHook(**keys, region_name=self.region, notify_type="failure", source="llmops")


class WebhookChannel(Channel):
    """Any address that takes JSON; ``{{subject}}``, ``{{body}}`` and the secrets' names stand for their values."""

    type: Literal["webhook"]
    url_from: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, str] | None = None
    json_body: dict[str, Any] = {"title": "{{subject}}", "text": "{{body}}"}
    secrets_from: dict[str, str] = {}

    def check_secrets(self) -> None:
        """See that there are the address and whatever else is named."""
        for variable in (self.url_from, *self.secrets_from.values()):
            secret(variable)

    @model_validator(mode="after")
    def _placeholders_have_values(self) -> Self:
        used = set(_PLACEHOLDER.findall(json.dumps([self.headers, self.json_body])))
        if unknown := used - {"subject", "body", *self.secrets_from}:
            raise ValueError(f"{{{{{min(unknown)}}}}} is neither subject, body nor one of secrets_from")
        return self

    def block(self) -> "NotificationBlock":
        """Prefect's block."""
        from prefect.blocks.notifications import CustomWebhookNotificationBlock
        from prefect.types import SecretDict

        secrets = {name: secret(variable) for name, variable in self.secrets_from.items()}
        return CustomWebhookNotificationBlock(
            name="llmops",
            url="{{address}}",
            method=self.method,
            headers=self.headers,
            json_data=self.json_body,
            secrets=SecretDict({"address": secret(self.url_from), **secrets}),
        )


AnyChannel = Annotated[
    SlackChannel | EmailChannel | PagerDutyChannel | WebhookChannel,
    Field(discriminator="type"),
]


def secret(variable: str) -> str:
    """The value of an environment variable.

    Raises:
        InputError: it is not set.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InputError(f"the environment variable {variable} is not set")
    return value


def apprise_address(variable: str) -> str:
    """An address that Apprise can notify, from an environment variable.

    Raises:
        InputError: it is not set, or Apprise would ignore it without a word.
    """
    from apprise import Apprise

    address = secret(variable)
    if Apprise.instantiate(address) is None:
        raise InputError(f"the environment variable {variable} holds no address that can be notified")
    return address


def read_channels(file: Path) -> dict[str, Channel]:
    """The channels of a file by their names, each with its secrets at hand.

    Raises:
        InputError: the file is missing or wrong, or a secret is not in the environment; the message says which.
    """
    channels: dict[str, Channel] = read_entries(file, "channels", AnyChannel)  # type: ignore[arg-type]
    for name, channel in channels.items():
        where = f"{file}: channels.{name}"
        if not _NAME.fullmatch(name):
            raise InputError(f"{where}: a channel's name is lower-case letters, digits and single dashes")
        try:
            channel.check_secrets()
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    return channels


def wording(news: News) -> str:
    """The subject's end for one piece of news.

    >>> SUBJECT % wording("failed")
    '{{ event.resource.name }}: {{ event.payload.model }} fails its gate'
    """
    return {
        "failed": "fails its gate",
        "still_failing": "still fails its gate",
        "recovered": "passes its gate again",
        "passed": "passes its gate",
        "broken": "could not be evaluated",
    }[news]
