import pyarrow as pa
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.encoding_damage import encoding_damage_hits
from llmops.data.validation.scanned_text import scanned_text


def damaged(text: str) -> bool:
    table = sample_table(input=pa.chunked_array([["fine", text]]), expected=pa.chunked_array([["ok", "ok"]]))
    hits = encoding_damage_hits(table, scanned_text(table))
    assert all(one.rows.tolist() == [1] for one in hits)
    return bool(hits)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250", "mac-roman", "cp437"])
@pytest.mark.parametrize("text", ["it’s late", "a café", "“quoted”", "wait…"])
def test_utf8_read_as_something_else(text: str, encoding: str) -> None:
    assert damaged(text.encode().decode(encoding, "replace"))


@pytest.mark.parametrize("text", ["für £20", "Señor", "日本語です", "Привет, как дела"])
def test_utf8_read_as_windows_1252_in_any_script(text: str) -> None:
    assert damaged(text.encode().decode("cp1252", "replace"))


def test_lost_characters_and_html_escaped_twice() -> None:
    assert damaged("caf\N{REPLACEMENT CHARACTER}") and damaged("Tom &amp;amp; Jerry, it&amp;#39;s") and damaged("ï»¿id")


@pytest.mark.parametrize(
    "text",
    [
        "Ça va? Où est l’été, naïve Zoë… “très” cher: 20 € – £15",
        "A MAÇÃ “NÃO” É BOA, SÃO PAULO, AMANHÃ…",
        "Größe: 5 µm, 20 °C, √2 ≈ 1.414, ±3 ½ §4 © 2026 «très»",
        "Съешь ещё этих мягких французских булок, «да» – МТВ",
        "Η Ελλάδα είναι «όμορφη»",
        "שלום עולם",
        "日本語です。",
        "Ăsta e în România – „da”",
        "😀 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "Tom &amp; Jerry",
        "├── src",
        "Âge, Île, Ô temps",
    ],
)
def test_real_text_of_many_languages_is_in_order(text: str) -> None:
    assert not damaged(text)
