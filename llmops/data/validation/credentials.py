"""Keys, tokens and passwords that got into the data, by the forms that their issuers publish."""

import math
import re
from collections import Counter

import pyarrow as pa

from llmops.data.findings import Hits
from llmops.data.validation.scanned_text import hits_of, matching

_KINDS = {
    "AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "private key": r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{22,}\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "OpenAI or Anthropic key": r"\bsk-(?:proj-|ant-|svcacct-|or-)?[A-Za-z0-9_-]{20,}",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/",
    "Google API key": r"\bAIza[A-Za-z0-9_-]{35}",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{16,}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "password in a URL": r"\b[a-z][a-z0-9+.-]{2,12}://[^\s/:@]+:[^\s/:@]{3,}@",
}
_NAMED = (
    r"(?i)\b(?:[a-z0-9]+[_-])?(?:password|passwd|pwd|secret|secret[_-]?key|api[_-]?key|access[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret)"
    r"[\"']?\s?(?::|=|:=|=>|\bis:?)\s?[\"']?([^\s\"',;]{6,})"
)
_BEARER = r"(?i)\bbearer ([a-z0-9._~+/-]{20,}=*)"
_QUICK = "|".join([*_KINDS.values(), f"(?:{_NAMED})", f"(?:{_BEARER})"])
_PATTERNS = [(kind, re.compile(pattern)) for kind, pattern in _KINDS.items()]
_ASSIGNED = [("password or key", re.compile(_NAMED)), ("bearer token", re.compile(_BEARER))]
_EXAMPLE = re.compile(
    r"^(?:[<{$%\[(*x.]|your|example|changeme|password|secret|none|null|true|false|os\.|self\.|process\.)", re.I
)


def secret_hits(batch: pa.Table, texts: pa.ChunkedArray) -> list[Hits]:
    """`secret` of a batch and its `scanned_text`."""
    return hits_of("secret", batch, matching(texts, _QUICK), _described)


def _described(texts: dict[str, str]) -> str | None:
    for column, text in texts.items():
        kind = secret_kind(text)
        if kind:
            return f"{column} holds what looks like a secret ({kind}); remove it and withdraw it"
    return None


def secret_kind(text: str) -> str | None:
    """The kind of the first secret in a text, or None.

    >>> secret_kind("password=hunter2-but-longer"), secret_kind("the password is wrong")
    ('password or key', None)
    """
    for kind, pattern in _PATTERNS:
        if pattern.search(text):
            return kind
    for kind, pattern in _ASSIGNED:
        if any(_is_random(found[1]) for found in pattern.finditer(text)):
            return kind
    return None


def _is_random(value: str) -> bool:
    """Whether a value looks chosen by a machine or for a password: no placeholder, and not just a word."""
    if _EXAMPLE.match(value) or value.rstrip(".!?)").isalpha():
        return False
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares) >= 2.3
