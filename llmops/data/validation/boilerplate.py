"""What a model or a template left in a text: refusals, "Sure, here is …", placeholders that nobody filled in."""

import re

import numpy as np
import pyarrow as pa

from llmops.data.findings import Hits
from llmops.data.validation.scanned_text import hits_of, matching

_NOT_ABLE = r"(?:cannot|can['’]?t|can not|am unable to|am not able to|['’]m unable to|['’]m not able to)"
_SELF = (
    r"\bas (?:an|a) (?:ai|a\.i\.|artificial intelligence|large language model|language model)\b",
    r"\bi(?:['’]m| am) (?:just |only )?(?:an ai\b|a (?:large )?language model|an artificial intelligence)",
    r"\b(?:i['’]m sorry|i am sorry|i apologi[sz]e|sorry|unfortunately),? (?:but )?(?:as an ai,? )?i ?"
    rf"{_NOT_ABLE} (?:assist|help|fulfil|comply|provide|generate|create|answer|complete|continue|do that)",
    rf"\bi ?{_NOT_ABLE} (?:assist|comply|fulfil|help)(?: you)?(?: with)? "
    r"(?:that|this|your (?:request|question)|the (?:request|question|task))\b",
    r"\bmy (?:knowledge cut-?off|training data|last (?:knowledge )?update)\b",
    r"\bi (?:do not|don['’]t) have (?:personal (?:opinions|experiences|feelings)|access to real-time|real-time)",
    r"\bas of my (?:last|knowledge)",
    r"\bregenerate response\b",
    r"\b(?:openai|anthropic)['’]s (?:usage |content )?polic",
)
_OPENING = (
    r"^\s*(?:sure|certainly|of course|absolutely|great question)(?: thing)?[!,.:]+ "
    r"(?:here(?:['’]s| is| are)\b|i(?:['’]d| would) be (?:happy|glad)|"
    r"i(?: can|['’]ll| will) (?:help|provide|write|create)|let me (?:help|know))",
    r"^\s*here(?:['’]s| is| are) (?:a|an|the|your|my|some|one|\d+)\b[^\n:.]{0,80}\b(?:version|rewrite|paraphrase|"
    r"translation|summary|response|answer|example|sample|list|output|text|sentence|question|draft|json|code)s?\b"
    r"[^\n:.]{0,60}:",
)
_CLOSING = (
    r"\b(?:i hope (?:this|that) helps|let me know if you (?:have any|need any|would like|['’]d like|need)[^\n]{0,60})"
    r"[!.]?\s*$",
)
_PLACEHOLDERS = (
    r"(?i:lorem ipsum|dolor sit amet)",
    r"\bTODO\b|\bFIXME\b|\bTBD\b",
    r"(?i:\[(?:insert|your|add|enter|fill in|name of|company|customer|client|recipient|placeholder|todo|tbd|date|link|"
    r"url)\b[^\]\n]{0,60}\])",
    r"(?i:<(?:insert|your|enter|placeholder)\b[^>\n]{0,60}>)",
    r"(?i:\b(?:insert|enter|your) (?:text|name|answer|company name) here\b)",
)


def _any(patterns: tuple[str, ...]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


_SAID = f"(?i:{_any(_SELF + _OPENING + _CLOSING)})"
_BLANK = _any(_PLACEHOLDERS)
_SAID_FOUND, _BLANK_FOUND = re.compile(_SAID), re.compile(_BLANK)


def boilerplate_hits(batch: pa.Table) -> list[Hits]:
    """`boilerplate`: in expected texts what a model says about itself, in inputs and expected texts placeholders."""
    said = matching(batch["expected"], _SAID)
    blank = [matching(batch[name], _BLANK) for name in ("input", "expected")]
    return hits_of("boilerplate", batch, np.unique(np.concatenate([said, *blank])), _described)


def _described(texts: dict[str, str]) -> str | None:
    found = _SAID_FOUND.search(texts.get("expected", ""))
    if found:
        return f"expected holds words of a model about its work ({_short(found[0])}); rewrite or drop it"
    for column in ("input", "expected"):
        found = _BLANK_FOUND.search(texts.get(column, ""))
        if found:
            return f"{column} holds a placeholder ({_short(found[0])}); fill it in"
    return None


def _short(text: str) -> str:
    words = " ".join(text.split())
    return f'"{words[:30]}…"' if len(words) > 30 else f'"{words}"'
