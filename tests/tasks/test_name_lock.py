"""One pipeline at a time for one name."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmops.errors import InputError
from tasks.name_lock import name_lock

HOLD = """
import sys, time
from tasks.name_lock import name_lock
with name_lock("support"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_holder_dies(home: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"another run is working on 'support' \(process {holder.pid}, since"):
            name_lock("support").__enter__()
        with name_lock("other"):
            pass
    finally:
        holder.kill()
        holder.wait()
    with name_lock("support"):
        pass


def test_the_holder_may_enter_again(home: Path) -> None:
    with name_lock("support"), name_lock("support"):
        pass


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".hidden"])
def test_what_cannot_be_a_name(home: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a name"), name_lock(name):
        pass
