"""Text that was decoded with the wrong encoding: "Ã©" for "é", "â€™" for an apostrophe, "�" for what was lost."""

import re

import pyarrow as pa

from llmops.data.findings import Hits
from llmops.data.validation.scanned_text import hits_of, matching

# What the bytes 80 to BF of UTF-8 look like in Windows-1252 (Latin-1 has control characters for 80 to 9F).
_TRAIL = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œžŸŽ"
_PATTERNS = (
    "\N{REPLACEMENT CHARACTER}",
    "ï»¿|ï¿½",  # byte order mark, replacement character
    f"â€[{_TRAIL}śťźŚŤŹ]|â[\u0080-\u009f][\u0080-\u00bf]|â‚¬|â„¢|â†[‘’“”]|âœ[…“”–]|ðŸ",  # punctuation, signs, emoji
    f"Ã[{_TRAIL}]|Â[\u00a0-\u00bf]",  # accented letters
    f"(?:[ÐÑ][{_TRAIL}]){{2}}|(?:[ÎÏ][{_TRAIL}]){{2}}|(?:[åæçèé][{_TRAIL}]{{2}}){{2}}",  # Cyrillic, Greek, Chinese
    "вЂ[љћќўўє“”™¦њ™]|(?:[РС][\u00a0-\u00bfЂ-Џђ-џ‚-™]){3}",  # read as Windows-1251
    "Ă[¤¦§¨©«¬®°±´¶ł]|ĂĽ|ג€[\u0080-\u00bf“”™–¢¦]|β€[\u0080-\u00bf“”™–¦\u0384]",  # as Windows-1250, -1255, -1253
    "ΓÇ[ÖôöªÉ£¥ó]|ÔÇ[Ößúöô£ØªÖ]|├[⌐ñÂ®í╝]",  # as the code pages of DOS
    "‚Ä[ôúùìöî¶]|‚Ç¨|√[©®´¶¢£§¨™†≠]|[A-Za-z]√[^\\sA-Za-z0-9]",  # as Mac Roman
    "&amp;(?:amp|lt|gt|quot|nbsp|#[0-9]+);",  # HTML, escaped twice
)
_DAMAGE = "|".join(_PATTERNS)
_FOUND = re.compile(_DAMAGE)
# "MAÇÔ, a Portuguese word in capitals before a closing quotation mark, is in order.
_CAPITALS = re.compile("[A-ZÀ-Þ]Ã[‘’“”–—…\u00a0»]")


def encoding_damage_hits(batch: pa.Table, texts: pa.ChunkedArray) -> list[Hits]:
    """`encoding-damage` of a batch and its `scanned_text`."""
    return hits_of("encoding-damage", batch, matching(texts, _DAMAGE), _described)


def _described(texts: dict[str, str]) -> str | None:
    for column, text in texts.items():
        for found in _FOUND.finditer(text):
            if _CAPITALS.match(text, max(found.start() - 1, 0)):
                continue
            what = "characters that were lost" if found[0] == "\ufffd" else "characters of a wrong decoding"
            return f"{column} holds {what} ({found[0]!r} at character {found.start() + 1}); decode the source as UTF-8"
    return None
