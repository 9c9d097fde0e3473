"""Objects by their import path, ``package.module:object``."""

import importlib
import sys
from pathlib import Path
from typing import Any

from llmops.errors import InputError


def load_object(path: str) -> Any:
    """The object at an import path; modules in the working directory are found too.

    Raises:
        InputError: there is no such module or object, or the module fails when it is imported.

    >>> load_object("math:sqrt")(9.0)
    3.0
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        # An installed command, unlike `python -m`, does not look there.
        sys.path.append(here)
    try:
        found = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(
            f"{path} cannot be imported: {type(error).__name__}: {error}; give package.module:name"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{path}: {module_name} has no {name!r}; give package.module:name")
        found = getattr(found, part)
    return found
