"""Channels: their secrets, their blocks, and what arrives at the other end."""

import json
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmops.errors import InputError
from tasks.notifications import Channel, read_channels

PROJECT = Path(__file__).parents[2]
LINK = "http://127.0.0.1:5000/#/experiments/1/runs/abc"
TEXT = f"Worse: 63.3 % against 100.0 %.\n- 'What is 2 + 2?': got 'five & six'\n\nMLflow run: {LINK}"


def channels(folder: Path, **given: Any) -> dict[str, Channel]:
    file = folder / "notifications.yaml"
    file.write_text(yaml.safe_dump({"channels": given}, sort_keys=False))
    return read_channels(file)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX")
    monkeypatch.setenv("MAIL", "mailtos://user:pass@smtp.example.com?from=a@example.com&to=b@example.com")
    monkeypatch.setenv("KEY", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("NONSENSE", "no address at all")


def test_the_projects_own_file_tells_nobody() -> None:
    assert read_channels(PROJECT / "configs" / "notifications.yaml") == {}


def test_the_channels_that_the_projects_file_shows_are_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (PROJECT / "configs" / "notifications.yaml").read_text().splitlines()
    shown = yaml.safe_load("\n".join(line[1:] for line in lines if line.startswith("#   ")))
    for name in ("SLACK_WEBHOOK_URL", "CHAT_BOT_URL"):
        monkeypatch.setenv(name, "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX")
    monkeypatch.setenv("MAIL_URL", "mailtos://user:pass@smtp.example.com?from=a@example.com&to=b@example.com")
    for name in ("PAGERDUTY_INTEGRATION_KEY", "PAGERDUTY_API_KEY", "CHAT_BOT_TOKEN"):
        monkeypatch.setenv(name, "0123456789abcdef0123456789abcdef")
    found = channels(tmp_path, **shown)
    assert [type(channel).__name__ for channel in found.values()] == [
        "SlackChannel",
        "EmailChannel",
        "PagerDutyChannel",
        "WebhookChannel",
    ]


def test_by_default_a_channel_hears_of_a_change_for_the_worse_only(tmp_path: Path) -> None:
    found = channels(
        tmp_path,
        team={"type": "slack", "url_from": "HOOK"},
        all={"type": "email", "url_from": "MAIL", "events": ["failed", "recovered"]},
    )
    assert found["team"].expected == {"llmops.gate.failed", "llmops.suite.broken"}
    assert found["all"].expected == {"llmops.gate.failed", "llmops.gate.recovered"}


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ({"type": "slack", "url_from": "NOT_THERE"}, "channels.a: the environment variable NOT_THERE is not set"),
        ({"type": "slack", "url_from": "NONSENSE"}, "NONSENSE holds no address that can be notified"),
        ({"type": "email", "url_from": "HOOK"}, "HOOK does not hold a mailtos://"),
        ({"type": "slack", "url": "https://x"}, r"channels\.a\.url(_from)?: "),
        ({"type": "pigeon", "url_from": "HOOK"}, r"channels\.a: .*pigeon"),
        ({"type": "pagerduty", "integration_key_from": "KEY", "api_key_from": "NO"}, "NO is not set"),
        ({"type": "slack", "url_from": "HOOK", "events": ["fell over"]}, r"channels\.a\.events"),
        ({"type": "webhook", "url_from": "HOOK", "headers": {"X": "{{token}}"}}, r"\{\{token\}\} is neither subject"),
        ({"type": "webhook", "url_from": "HOOK", "secrets_from": {"t": "NO"}}, "NO is not set"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_the_secret(
    tmp_path: Path, channel: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        channels(tmp_path, a=channel)
    assert str(caught.value).startswith(str(tmp_path / "notifications.yaml"))
    assert "hooks.slack.com" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_prefect_would_not_take(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a channel's name is"):
        channels(tmp_path, **{"My Team": {"type": "slack", "url_from": "HOOK"}})


def test_a_secret_is_kept_as_one(tmp_path: Path) -> None:
    hook = {"type": "webhook", "url_from": "HOOK", "headers": {"Authorization": "{{t}}"}, "secrets_from": {"t": "KEY"}}
    shown = str(channels(tmp_path, a=hook)["a"].block().model_dump(mode="json"))
    assert "0123456789abcdef" not in shown
    assert "hooks.slack.com" not in shown


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What Apprise posts: (address, body)."""
    import requests

    sent: list[tuple[str, dict[str, Any]]] = []

    def request(self: requests.Session, method: str, url: str, **given: Any) -> requests.Response:
        sent.append((url, json.loads(given["data"])))
        answer = requests.Response()
        answer.status_code, answer._content = 202 if "pagerduty" in url else 200, b"ok"
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    return sent


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ({"type": "slack", "url_from": "HOOK"}, "hooks.slack.com"),
        (
            {"type": "pagerduty", "integration_key_from": "KEY", "api_key_from": "KEY", "region": "eu"},
            "events.eu.pagerduty.com",
        ),
    ],
)
def test_subject_sentence_and_link_arrive(
    tmp_path: Path, posted: list[tuple[str, dict[str, Any]]], channel: dict[str, Any], address: str
) -> None:
    block = channels(tmp_path, a=channel)["a"].block()
    with block.raise_on_failure():
        block.notify(subject="sums: m fails its gate", body=TEXT)
    ((url, body),) = posted
    assert address in url
    said = json.dumps(body)
    assert "sums: m fails its gate" in said
    assert LINK in said
    assert "63.3 %" in said


class MailServer(socketserver.StreamRequestHandler):
    """Takes one message, as SMTP servers do."""

    messages: list[bytes]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        message: list[bytes] | None = None
        for line in self.rfile:
            if message is not None and line != b".\r\n":
                message.append(line)
                continue
            if message is not None:
                self.messages.append(b"".join(message))
                message = None
            word = line.strip().lower()
            if word == b"data":
                message = []
            self.wfile.write({b"data": b"354 go on\r\n", b"quit": b"221 bye\r\n"}.get(word, b"250 ok\r\n"))
            if word == b"quit":
                return


@pytest.fixture
def mail_server() -> Iterator[tuple[int, list[bytes]]]:
    """A mail server's port, and what it took."""
    messages: list[bytes] = []
    handler = type("Handler", (MailServer,), {"messages": messages})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], messages
        server.shutdown()


def test_email_goes_to_any_mail_server(
    tmp_path: Path, mail_server: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, messages = mail_server
    monkeypatch.setenv("MAIL", f"mailto://127.0.0.1:{port}?from=llmops@example.com&to=team@example.com")
    block = channels(tmp_path, a={"type": "email", "url_from": "MAIL"})["a"].block()
    with block.raise_on_failure():
        block.notify(subject="sums: m fails its gate", body=TEXT)
    (raw,) = messages
    message = message_from_bytes(raw)
    assert message["To"] == "team@example.com"
    assert message["Subject"] == "sums: m fails its gate"
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    assert any(isinstance(part, bytes) and LINK.encode() in part for part in parts)
