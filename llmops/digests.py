"""Digests that name content: the same content gives the same digest on every machine and in every run."""

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def content_digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value; the order of keys does not matter.

    >>> content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 (hex) over the relative names and bytes of every file below a folder."""
    return _digest_of_files((file.relative_to(folder).as_posix(), file) for file in _files_below(folder))


def code_digest(*modules: str) -> str:
    """SHA-256 (hex) of the source of modules or whole packages, found without importing them.

    Part of the key under which a result is kept, so that changed code never answers with an old result.

    >>> len(code_digest("llmops.digests"))
    64
    """
    named: list[tuple[str, Path]] = []
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no source for module {module}")
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            sources = [file for file in _files_below(origin.parent) if file.suffix == ".py"]
            named += [(f"{module}/{file.relative_to(origin.parent).as_posix()}", file) for file in sources]
        else:
            named.append((module, origin))
    return _digest_of_files(sorted(named))


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest_of_files(named: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, file in named:
        digest.update(f"{name}\0{file_digest(file)}\n".encode())
    return digest.hexdigest()
