"""YAML files that people edit: a section of named entries, each checked against one pydantic type."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from llmops.errors import InputError

T = TypeVar("T")


def read_entries(file: Path, section: str, entry: type[T], beside: Collection[str] = ()) -> dict[str, T]:
    """The named entries of one section of a file, in the file's order; none where the section is empty.

    Args:
        file: the YAML file.
        section: the section that holds them.
        entry: type of each (a pydantic model, or an annotated union of them).
        beside: sections that the file may hold, too.

    Raises:
        InputError: the file is missing or not YAML, has another section, or an entry is wrong; the one line names
            file, section, entry and field.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        raise InputError(f"{where}: not valid YAML ({getattr(error, 'problem', None) or 'unreadable'})") from error
    content = {} if content is None else content
    allowed = (section, *beside)
    if not isinstance(content, dict) or not set(content) <= set(allowed):
        found = ", ".join(str(name) for name in content if name not in allowed) if isinstance(content, dict) else "none"
        raise InputError(f"{file}: its sections may be {', '.join(f'`{name}:`' for name in allowed)} (found: {found})")
    entries = content.get(section) or {}
    if not isinstance(entries, dict):
        raise InputError(f"{file}: section {section!r} must hold one entry a name, as `name: {{field: value}}`")
    adapter = TypeAdapter(entry)
    return {str(name): _checked(adapter, value, f"{file}: {section}.{name}") for name, value in entries.items()}


def _checked(adapter: TypeAdapter[T], value: Any, where: str) -> T:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        # A tagged union puts its tag between the entry and the field.
        tags = {str(value.get("type"))} if isinstance(value, dict) else set()
        path = ".".join(str(part) for part in problem["loc"] if str(part) not in tags)
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        shown = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
        raise InputError(f"{where}{f'.{path}' if path else ''}: {message[:1].lower()}{message[1:]}{shown}") from error
