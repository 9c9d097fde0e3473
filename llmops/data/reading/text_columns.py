"""Columns of any type as columns of text, with a finding for each value that is none."""

import json
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.reading.raw_rows import RawColumn, RawRows, refuse_too_many_columns
from llmops.errors import InputError

FILLER = "\N{REPLACEMENT CHARACTER}"
"""Stands in the rows that are refused until they are taken out."""


def text_column(raw: RawRows, name: str, values: RawColumn, *, nested_allowed: bool) -> pa.Array:
    """Values as text: numbers as JSON writes them, dates as ISO 8601, nested values as JSON, NaN as null.

    Rows whose value is not Unicode, or is nested where that is not allowed, are refused in `raw`.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        values = _arrow_text(raw, name, values)
        if isinstance(values, pa.Array):
            return values
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return text_column(raw, name, _without_surrogates(raw, name, values), nested_allowed=nested_allowed)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    if not nested_allowed:
        for row, value in enumerate(values):
            if isinstance(value, dict | list):
                raw.refuse(row, "not-text", f"{name} is a {type(value).__name__}, not text; flatten it first")
    texts = [value if value is None or isinstance(value, str) else _json_text(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array(_without_surrogates(raw, name, texts), pa.string())


def python_values(raw: RawRows, name: str, values: RawColumn) -> list[Any]:
    """Values as Python's; keys that are null because the file's type has them for other rows are left out."""
    if isinstance(values, list):
        return values
    return [_without_nulls(value) for value in _from_arrow(raw, name, values)]


def expanded(raw: RawRows, name: str, values: RawColumn) -> dict[str, RawColumn]:
    """A column of maps, objects or their JSON text as one column a key; text that is no object stays one column."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array) and pa.types.is_map(values.type):
        return _columns_of_maps(raw, values)
    if isinstance(values, pa.Array) and pa.types.is_struct(values.type):
        names = [field.name for field in values.type]
        return dict(zip(names, values.flatten(), strict=True)) if len(set(names)) == len(names) else {name: values}
    objects = [_object(value) for value in python_values(raw, name, values)]
    keys = dict.fromkeys(key for value in objects if isinstance(value, dict) for key in value)
    refuse_too_many_columns(raw.file, len(keys))
    columns: dict[str, RawColumn] = {
        key: [value.get(key) if isinstance(value, dict) else None for value in objects] for key in keys
    }
    others = [None if isinstance(value, dict) else value for value in objects]
    return columns if all(value is None for value in others) else {name: others, **columns}


def _object(value: Any) -> Any:
    """The object that a JSON text is, other values as they are."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _columns_of_maps(raw: RawRows, maps: pa.MapArray) -> dict[str, RawColumn]:
    entries = maps.cast(pa.list_(pa.struct([("key", maps.type.key_type), ("value", maps.type.item_type)])))
    rows = pc.list_parent_indices(entries).to_numpy()
    keys, values = entries.flatten().flatten()
    encoded = text_column(raw, "a key", keys, nested_allowed=True).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    refuse_too_many_columns(raw.file, len(encoded.dictionary))
    columns: dict[str, RawColumn] = {}
    for code, key in enumerate(encoded.dictionary.to_pylist()):
        places = np.full(len(maps), -1, dtype=np.int64)
        found = np.flatnonzero(codes == code)
        places[rows[found]] = found
        columns[key] = values.take(pa.array(places, mask=places < 0))
    return columns


def _arrow_text(raw: RawRows, name: str, values: pa.Array) -> pa.Array | list[Any]:
    """Text in Arrow where Arrow makes the text that a person would, else the values one by one."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        try:
            return values.cast(pa.string())
        except pa.ArrowException:
            return _from_arrow(raw, name, values)
    if _is_textual(kind):
        try:
            # Parquet files may hold any bytes as "text"; only a full validation or the way from binary looks at them.
            values.validate(full=True)
            return values if pa.types.is_string(kind) else values.cast(pa.string())
        except pa.ArrowInvalid:
            rows = values.cast(pa.large_binary()).to_pylist()
            return [None if row is None else row.decode("utf-8", "surrogateescape") for row in rows]
    if pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), None, values)
    return _from_arrow(raw, name, values)


def _is_textual(kind: pa.DataType) -> bool:
    checks: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(check(kind) for check in checks)


def _from_arrow(raw: RawRows, name: str, values: pa.Array) -> list[Any]:
    """Arrow's values as Python's; those that hold text that is not UTF-8 are refused."""
    try:
        python: list[Any] = values.to_pylist(maps_as_pydicts="lossy")
    except UnicodeDecodeError:
        python = []
        for row in range(len(values)):
            try:
                python.append(values[row].as_py(maps_as_pydicts="lossy"))
            except UnicodeDecodeError:
                raw.refuse(row, "not-unicode", f"{name} holds bytes that are not UTF-8 text; save it as UTF-8")
                python.append(FILLER)
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"{raw.file}: the values of {name} ({values.type}) cannot be read ({error})") from error
    return python


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _json_text(value: Any) -> str:
    if type(value) is float and isfinite(value):
        # As the encoder writes it, in a fraction of its time.
        return repr(value)
    try:
        return _encode(value)
    except (ValueError, RecursionError, TypeError):
        return str(value)


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _without_surrogates(raw: RawRows, name: str, texts: Sequence[Any]) -> list[Any]:
    """Refuse the rows whose text is not Unicode, and put a filler in their place."""
    fillers = list(texts)
    for row, text in enumerate(texts):
        if isinstance(text, str) and not _is_unicode(text):
            reason = "a byte that is not UTF-8, or half of a surrogate pair"
            raw.refuse(row, "not-unicode", f"{name} is not Unicode text ({reason}); save it as UTF-8")
            fillers[row] = FILLER
    return fillers


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
