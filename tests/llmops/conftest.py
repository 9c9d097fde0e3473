"""Public data that tests of several packages measure."""

from collections.abc import Callable
from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The path of a public data file, or a skip where it is not on this machine."""

    def find(name: str) -> Path:
        path = (REAL_DATA / name).resolve()
        if not path.is_file():
            pytest.skip(f"public data file {path} is not on this machine")
        return path

    return find
