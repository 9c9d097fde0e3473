import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.credentials import secret_hits, secret_kind
from llmops.data.validation.scanned_text import scanned_text

SECRETS = [
    ("AWS access key", "AKIA" + "IOSFODNN7ABCDEFG"),
    ("private key", "-----BEGIN OPENSSH " + "PRIVATE KEY-----"),
    ("GitHub token", "ghp_" + "a1B2c3D4e5" * 4),
    ("OpenAI or Anthropic key", "sk-ant-" + "api03-a1B2c3D4e5F6g7H8"),
    ("Slack token", "xoxb-" + "123456789012-abcdefGHIJ"),
    ("JSON web token", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
    ("password in a URL", "mysql://root:" + "s3cr3t@db.example.org/app"),
    ("password or key", "API_KEY = '" + "9f86d081884c7d659a2feaa0c55ad015'"),
    ("password or key", "my password is: " + "Tr0ub4dor&3"),
    ("bearer token", "Authorization: Bearer " + "a1B2c3D4e5F6g7H8i9J0k1"),
]


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
def test_each_kind_is_found_and_never_quoted(kind: str, secret: str) -> None:
    text = f"Use {secret} for it"
    assert secret_kind(text) == kind
    table = sample_table(input=pa.chunked_array([["fine", "fine"]]), expected=pa.chunked_array([["ok", text]]))
    [hits] = secret_hits(table, scanned_text(table))
    assert hits.rows.tolist() == [1]
    assert hits.messages[0].startswith(f"expected holds what looks like a secret ({kind})")
    assert secret[8:] not in hits.messages[0]


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password: what now?",
        "The password is incorrect.",
        "password = os.environ['PASSWORD']",
        'api_key="<your key here>"',
        "secret: ********",
        "The secret is patience, and the token of it a ring.",
        "See https://example.org/a:b and user@host",
        "sk-learn is short for scikit-learn",
    ],
)
def test_talk_about_secrets_is_none(text: str) -> None:
    assert secret_kind(text) is None
