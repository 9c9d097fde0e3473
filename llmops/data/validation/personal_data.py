"""Hints at personal data: what looks like an e-mail address, a phone, card or account number, an IP address, an SSN.

Patterns find what has a form of its own; names and addresses in running text need a model. Where a number carries
check digits they must be right: Luhn's for cards, ISO 7064 mod 97-10 for IBANs.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.findings import Hits
from llmops.data.validation.scanned_text import hits_of, matching

# What may hold a number of interest: seven digits close together, or an address of four parts.
_DIGITS = r"\d(?:[ ().\-/]{0,2}\d){6,}|\d\.\d{1,3}\.\d{1,3}\.\d|(?i:[0-9a-f]{1,4}:[0-9a-f]{1,4}:[0-9a-f:]+)"

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]+\.)+[^\W\d_]{2,24}\b")
_IBAN = re.compile(r"\b(?:[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}|[a-z]{2}\d{2}[a-z0-9]{11,30})\b")
# By issuer: Visa, Mastercard, American Express, Diners, Discover and UnionPay, JCB, Maestro.
_CARD_PREFIXES = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})$|(?:5[1-5]|2[2-7])\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689]\d)\d{11}$|6(?:011|4|5|2)\d+$|"
    r"35(?:2[89]|[3-8]\d)\d{12}$|(?:180|213)\d{12}$|(?:50|5[6-9]|6[37])\d+$"
)
_CARD = re.compile(
    r"(?<![\w.,=*/+$€£-])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}(?:\1\d{1,7})?|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![\w=*/+]|[.,-]\d)"
)
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_IPV4 = re.compile(r"(?<![\d.])(?<!version )(?<!v)\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)", re.IGNORECASE)
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){2,7}(?::?[0-9a-f]{1,4}){1,7}(?![\w:])", re.IGNORECASE)
_PHONE = re.compile(
    r"""(?<![\w.$€£/+-])(?<!\d,)(?:
        \+\d{1,3}[ .-]?(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}   # +44 20 7946 0018
      | 00\d{2}[ .-]?\d{1,5}(?:[ .-]?\d{2,5}){1,4}
      | (?:\+?1[ .-]?)?\(\d{3}\)[ .-]?\d{3}[ .-]?\d{4}                        # (555) 010-9999
      | (?:1[ .-])?\d{3}([ .-])\d{3}\1\d{4}                                   # 555-010-9999
      | \(0\d{2,5}\)[ ]?\d{3,4}[ ]?\d{3,4}
      | 0[1-9]\d{0,4}[ /-]\d{2,4}(?:[ -]?\d{2,4}){1,3}                             # 020 7946 0018
    )(?:[ ]?(?:x|ext\.?)[ ]?\d{1,5})?(?![\w]|[.,-]\d)""",
    re.VERBOSE,
)
_CALLED = re.compile(
    r"\b(?:phone|telephone|tel|call|mobile|cell|desk|fax|whatsapp|"
    r"(?:reach|text|answering|messages?)(?: \w+)? (?:at|on|to))\b"
    r"\D{0,30}?(\+?\(?\d[\d ().-]{5,18}\d)|(?<![\w.-])(\(?\d[\d ().-]{5,18}\d)(?=[ -](?:office|fax|mobile|cell)\b)",
    re.IGNORECASE,
)


def personal_data_hits(batch: pa.Table, texts: pa.ChunkedArray) -> list[Hits]:
    """`personal-data` of a batch and its `scanned_text`."""
    at = np.flatnonzero(pc.fill_null(pc.match_substring(texts, "@"), False).to_numpy())
    return hits_of("personal-data", batch, np.union1d(at, matching(texts, _DIGITS)), _described)


def personal_data(text: str) -> Iterator[tuple[str, int, int]]:
    """What looks like personal data in a text: kind, start and end.

    >>> text = "Write to jo@example.org or pay to GB82 WEST 1234 5698 7654 32."
    >>> [(kind, text[start:end]) for kind, start, end in personal_data(text)]
    [('e-mail address', 'jo@example.org'), ('IBAN', 'GB82 WEST 1234 5698 7654 32')]
    """
    taken: list[tuple[int, int]] = []
    for kind, start, end in _candidates(text):
        if all(end <= other or start >= stop for other, stop in taken):
            taken.append((start, end))
            yield kind, start, end


def _candidates(text: str) -> Iterator[tuple[str, int, int]]:
    for found in _EMAIL.finditer(text) if "@" in text else ():
        yield "e-mail address", *found.span()
    for found in _IBAN.finditer(text):
        if end := _iban_end(found[0]):
            yield "IBAN", found.start(), found.start() + end
    for found in _CARD.finditer(text):
        if is_card_number(found[0]):
            yield "card number", *found.span()
    for found in _SSN.finditer(text):
        yield "US social security number", *found.span()
    for pattern, sign, least in ((_IPV4, ".", 3), (_IPV6, ":", 2)):
        for found in pattern.finditer(text) if text.count(sign) >= least else ():
            if _is_address(found[0]):
                yield "IP address", *found.span()
    for found in _PHONE.finditer(text):
        if 7 <= sum(map(str.isdigit, found[0])) <= 20 and not _is_date_or_sum(text, found):
            yield "phone number", *found.span()
    for found in _CALLED.finditer(text):
        group = 1 if found[1] else 2
        if 7 <= sum(map(str.isdigit, found[group])) <= 15:
            yield "phone number", *found.span(group)


def is_card_number(text: str) -> bool:
    """Whether digits are a payment card's: 12 to 19, an issuer's first digits, and Luhn's check digit (ISO/IEC 7812-1).

    >>> is_card_number("4111 1111 1111 1111"), is_card_number("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(character) for character in text if character.isdigit()]
    compact = "".join(map(str, digits))
    if not 12 <= len(digits) <= 19 or not _CARD_PREFIXES.match(compact) or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN with the right check digits (ISO 13616: mod 97 of the rearranged number is 1).

    >>> is_iban("GB82 WEST 1234 5698 7654 32"), is_iban("GB83 WEST 1234 5698 7654 32")
    (True, False)
    """
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _iban_end(text: str) -> int:
    """Where the IBAN ends that a text begins with (words in capitals may follow it), or 0."""
    ends = [len(text), *(place for place in range(len(text) - 1, 14, -1) if text[place] == " ")]
    return next((end for end in ends if is_iban(text[:end])), 0)


def _is_address(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def _is_date_or_sum(text: str, found: re.Match[str]) -> bool:
    """Whether digits that look like a phone number stand in a calculation, or are all one digit."""
    around = text[max(found.start() - 2, 0) : found.start()] + text[found.end() : found.end() + 2]
    return any(sign in around for sign in "=*<>%") or len(set(filter(str.isdigit, found[0]))) == 1


def masked(text: str) -> str:
    """A piece of which no more than the first character can be read.

    >>> masked("jo@example.org")
    'j***'
    """
    return f"{text[0]}***"


def _described(texts: dict[str, str]) -> str | None:
    for column, text in texts.items():
        kinds: dict[str, str] = {}
        for kind, start, end in personal_data(text):
            kinds.setdefault(kind, masked(text[start:end]))
        if kinds:
            listed = ", ".join(f"{kind} ({piece})" for kind, piece in kinds.items())
            return f"{column} holds what looks like personal data: {listed}; mask it, or make sure that you may use it"
    return None
