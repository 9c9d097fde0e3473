"""Files that people edit: what is wrong is said with file, section, entry and field."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from llmops.config_files import read_entries
from llmops.errors import InputError


class Box(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


def read(folder: Path, text: str) -> dict[str, Box]:
    file = folder / "boxes.yaml"
    file.write_text(text)
    return read_entries(file, "boxes", Box, beside=("lids",))


def test_entries_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, "lids: {a: 1}\nboxes: {b: {size: 2}, a: {size: 1}}") == {"b": Box(size=2), "a": Box(size=1)}
    assert list(read(tmp_path, "boxes: {b: {size: 2}, a: {size: 1}}")) == ["b", "a"]


@pytest.mark.parametrize("text", ["", "boxes:", "boxes: {}", "lids: {}"])
def test_a_section_may_be_empty(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("boxes: {a: {size: big}}", r"boxes\.yaml: boxes\.a\.size: input should be a valid integer.*'big'"),
        ("boxes: {a: {size: 1, colour: red}}", r"boxes\.yaml: boxes\.a\.colour: extra inputs"),
        ("boxes: {a: {}}", r"boxes\.yaml: boxes\.a\.size: field required"),
        ("boxes: {a: 3}", r"boxes\.yaml: boxes\.a: input should be"),
        ("boxes: [1]", r"boxes\.yaml: section 'boxes' must hold one entry a name"),
        ("box: {}", r"boxes\.yaml: its sections may be `boxes:`, `lids:` \(found: box\)"),
        ("- 1", r"boxes\.yaml: its sections may be"),
        ("boxes:\n  a: {size: 1", r"boxes\.yaml, line \d: not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        read_entries(tmp_path / "none.yaml", "boxes", Box)
