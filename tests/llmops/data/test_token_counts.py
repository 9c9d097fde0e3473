from pathlib import Path

import pyarrow as pa
import pytest

from llmops.data.token_counts import token_counts
from llmops.errors import InputError

TEXTS = pa.chunked_array([["one two", None], ["", "Größe 鹅"]], pa.string())


def test_the_estimate_is_a_quarter_of_the_bytes() -> None:
    # 7 bytes; none; none; 5 letters of which two have two bytes, a blank, and three bytes: 11.
    assert token_counts(TEXTS).tolist() == [2, 0, 0, 3]
    assert token_counts(pa.chunked_array([], pa.string())).tolist() == []


def test_a_tokenizer_of_ones_own(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(1)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        assert token_counts(TEXTS, str(place)).tolist() == [2, 0, 0, 2]
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert token_counts(TEXTS, str(tmp_path)).tolist() == [7, 0, 0, 7]


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer; name a folder"):
        token_counts(TEXTS, str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    pytest.importorskip("tokenizers")
    with pytest.raises(InputError, match="not a tokenizer"):
        token_counts(TEXTS, str(tmp_path))
