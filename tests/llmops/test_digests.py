"""Digests name content and nothing else."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from llmops.digests import code_digest, content_digest, folder_digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert content_digest(value) == content_digest(dict(reversed(value.items())))


def test_published_value() -> None:
    # sha256 of '{"a":1}', computed with coreutils.
    assert content_digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_a_folder_is_named_by_names_and_bytes(tmp_path: Path) -> None:
    for folder, name, text in (("one", "a", "x"), ("same", "a", "x"), ("renamed", "b", "x"), ("edited", "a", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    digests = {folder: folder_digest(tmp_path / folder) for folder in ("one", "same", "renamed", "edited")}
    assert digests["one"] == digests["same"]
    assert len(set(digests.values())) == 3


def test_code_is_found_without_importing_it() -> None:
    assert code_digest("llmops.data") != code_digest("llmops.data", "llmops.errors")
