"""How many tokens a text has: counted by a model's own tokenizer, else estimated."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.errors import InputError

BYTES_PER_TOKEN = 4
"""Of the estimate. OpenAI and Google both give about four characters of English a token. Bytes rather than characters,
because letters beyond ASCII have two or three bytes and about as many more tokens; with tokenizers that know a script
well (newer ones Cyrillic, Arabic, Devanagari) the estimate is up to twice too high, which errs on the safe side."""


def token_counts(texts: pa.ChunkedArray, tokenizer: str | None = None) -> np.ndarray:
    """Tokens of each text, int64; a null has none.

    Args:
        texts: a column of text.
        tokenizer: a folder with a `tokenizer.json` in it (as `save_pretrained` writes it), or that file. Without one
            the figure is an estimate: UTF-8 bytes / 4, rounded up.

    No special tokens (begin, end, chat template) are added.

    Raises:
        InputError: there is no tokenizer at that place, or the package `tokenizers` is not installed.

    >>> token_counts(pa.chunked_array([["What is a token?", "", None, "Ünïcödé"]])).tolist()
    [4, 0, 0, 3]
    """
    if tokenizer is None:
        length = pc.fill_null(pc.binary_length(texts), 0).to_numpy().astype(np.int64)
        estimate: np.ndarray = -(-length // BYTES_PER_TOKEN)
        return estimate
    file = Path(tokenizer) / "tokenizer.json" if Path(tokenizer).is_dir() else Path(tokenizer)
    if not file.is_file():
        raise InputError(f"{tokenizer}: no tokenizer; name a folder with a tokenizer.json (save_pretrained writes one)")
    encode = _load(str(file), file.stat().st_mtime_ns).encode_batch_fast
    counts = [
        [len(encoding) for encoding in encode(pc.fill_null(chunk, "").to_pylist(), add_special_tokens=False)]
        for chunk in texts.chunks
    ]
    return np.array([count for chunk in counts for count in chunk], dtype=np.int64)


# Counting goes batch by batch and loading a large tokenizer takes a second; one that was written anew is read anew.
@lru_cache(maxsize=1)
def _load(file: str, written: int) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise InputError(f"{file}: counting tokens with it needs the package tokenizers (extra `local`)") from error
    try:
        loaded = Tokenizer.from_file(file)
    except Exception as error:  # tokenizers raises plain Exception for a file that is not one
        raise InputError(f"{file}: not a tokenizer ({error})") from error
    # A file may say that what it encodes is cut or padded, which would make every count the same.
    loaded.no_truncation()
    loaded.no_padding()
    return loaded
