"""What datasets, registered models and experiments may be called: what all three stores and a file name take."""

import re

from llmops.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def require_name(name: str) -> None:
    """Refuse what cannot be a name, before anything is made under it.

    Raises:
        InputError: it has other characters than names have.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be a name; use up to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
