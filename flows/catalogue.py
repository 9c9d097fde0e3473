"""Which flows there are, found by convention and without importing them.

A flow is a file `<package>/<name>.py` that holds a function `<name>` decorated with `@flow`. Its name on the
command line has dashes for underscores, and the first line of the function's docstring says what it does. A new
file is a new command; nothing else has to be written.
"""

import ast
import difflib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmops.errors import InputError


@dataclass(frozen=True)
class FlowFile:
    """A flow as far as its source tells: enough to list it, and to import it once it is asked for."""

    name: str
    module: str
    function: str
    summary: str


def find_flows(package: str) -> dict[str, FlowFile]:
    """Every flow of a package by its name, in alphabetical order; no file is imported.

    >>> sorted(find_flows("flows"))  # doctest: +ELLIPSIS
    ['evaluate', 'fine-tune', 'lifecycle', ...]
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.py"))
    return {flow.name: flow for file in files for flow in _flows_in(file, package)}


def find_flow(flows: dict[str, FlowFile], name: str) -> FlowFile:
    """The flow of that name; underscores are taken for dashes.

    Raises:
        InputError: there is none; the message names the closest, or all.
    """
    wanted = name.replace("_", "-")
    if wanted in flows:
        return flows[wanted]
    close = difflib.get_close_matches(wanted, flows, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(flows)}"
    raise InputError(f"there is no flow {name!r}; {hint}")


def _flows_in(file: Path, package: str) -> Iterator[FlowFile]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        # Importing it will say what is wrong; the other flows must not suffer.
        return
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != file.stem:
            continue
        if any(_is_flow_decorator(decorator) for decorator in node.decorator_list):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            yield FlowFile(node.name.replace("_", "-"), f"{package}.{file.stem}", node.name, summary)


def _is_flow_decorator(node: ast.expr) -> bool:
    target = node.func if isinstance(node, ast.Call) else node
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
    return name == "flow"
