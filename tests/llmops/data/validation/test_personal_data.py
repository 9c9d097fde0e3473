import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.personal_data import is_card_number, is_iban, personal_data, personal_data_hits
from llmops.data.validation.scanned_text import scanned_text


@pytest.mark.parametrize(
    ("text", "kind", "piece"),
    [
        ("Mail ada.lovelace+notes@example.co.uk, please", "e-mail address", "ada.lovelace+notes@example.co.uk"),
        ("Ring +44 20 7946 0018 now", "phone number", "+44 20 7946 0018"),
        ("Ring (555) 010-9999 now", "phone number", "(555) 010-9999"),
        ("Ring 555-010-9999.", "phone number", "555-010-9999"),
        ("tel: 7946 0018", "phone number", "7946 0018"),
        ("Pay with 4111 1111 1111 1111 today", "card number", "4111 1111 1111 1111"),
        ("Pay with 378282246310005 today", "card number", "378282246310005"),
        ("to DE89 3704 0044 0532 0130 00 AT ONCE", "IBAN", "DE89 3704 0044 0532 0130 00"),
        ("to gb29nwbk60161331926819", "IBAN", "gb29nwbk60161331926819"),
        ("from 203.0.113.9 and", "IP address", "203.0.113.9"),
        ("from 2001:db8:85a3::8a2e:370:7334 and", "IP address", "2001:db8:85a3::8a2e:370:7334"),
        ("SSN 219-09-9999, I think", "US social security number", "219-09-9999"),
    ],
)
def test_each_kind_is_found_where_it_stands(text: str, kind: str, piece: str) -> None:
    assert [(found, text[start:end]) for found, start, end in personal_data(text)] == [(kind, piece)]
    table = sample_table(input=pa.chunked_array([["fine", text]]), expected=pa.chunked_array([["ok", "ok"]]))
    [hits] = personal_data_hits(table, scanned_text(table))
    assert hits.rows.tolist() == [1] and kind in hits.messages[0]
    assert piece not in hits.messages[0] and piece[2:] not in hits.messages[0]


@pytest.mark.parametrize(
    "text",
    [
        "He earned $1,250,000 and spent 2000000-400000=1600000 of it.",
        "So 48/2 = <<48/2=24>>24, and 12 * 12345678 is a lot",
        "Version 1.2.3.4 runs on 127.0.0.1 and 999.1.1.1 does not exist.",
        "Card 4111 1111 1111 1112 fails Luhn's test.",
        "The account GB83 WEST 1234 5698 7654 32 has wrong check digits.",
        "SSN 000-12-3456 and 666-12-3456 are never given out.",
        "From 1990-01-02 to 2026-11-21, 10:15:30, page 123-456.",
        "Meet me @ noon; the @property decorator; x@y",
        "twenty-one million five hundred thousand",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert list(personal_data(text)) == []


def test_check_digits() -> None:
    # Test numbers that the card schemes publish; IBANs from the registry's examples (ISO 13616).
    for number in ("5555555555554444", "4012888888881881", "6011111111111117", "3530111333300000", "30569309025904"):
        assert is_card_number(number)
        assert not is_card_number(number[:-1] + str((int(number[-1]) + 1) % 10))
    assert not is_card_number("0000000000000000") and not is_card_number("4111")
    for account in ("NL91ABNA0417164300", "FR1420041010050500013M02606", "NO9386011117947"):
        assert is_iban(account) and not is_iban(account[:-1] + str((int(account[-1]) + 1) % 10))
    assert not is_iban("NO93")
