"""Options and values of a flow, from its own signature: command line before file before defaults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from flows.flow_options import FlowCommand
from flows.flow_parameters import parameter_values, read_config
from llmops.errors import InputError


@pytest.fixture
def values(import_greet: Callable[[], Any]) -> Callable[..., dict[str, Any]]:
    """The arguments that `greet` would be called with."""
    flow = import_greet()

    def parse(*arguments: str, config: Path | None = None) -> dict[str, Any]:
        command = FlowCommand("greet", dict(flow.parameters), "", [])
        with command.make_context("greet", list(arguments)) as context:
            section = read_config(config, "greet", ["greet", "other"]) if config else None
            return parameter_values(flow.fn, dict(flow.parameters), command.typed_values(context), section)

    return parse


def test_types_choices_lists_and_switches(values: Callable[..., dict[str, Any]]) -> None:
    given = values(
        *("--who", "123", "--times", "3", "--tone", "cool", "--style.polite"),
        *("--style.voice.words", "a,b", "--style.voice.words", "c", "--style.voice.volume", "1e-1"),
    )
    assert given["who"] == "123"  # text stays text
    assert (given["times"], given["tone"]) == (3, "cool")
    assert given["style"].model_dump() == {"polite": True, "voice": {"volume": 0.1, "words": ["a", "b", "c"]}}


def test_what_is_not_given_is_left_to_the_flow(values: Callable[..., dict[str, Any]]) -> None:
    assert values("--who", "x") == {"who": "x"}


def test_a_part_of_a_model_leaves_the_rest_at_the_flows_own_default(values: Callable[..., dict[str, Any]]) -> None:
    # The flow's default for the volume is 0.7, the class's is 0.5.
    given = values("--who", "x", "--style.polite")["style"]
    assert (given.polite, given.voice.volume) == (True, 0.7)


def test_command_line_before_file_before_default(values: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "other: {anything: 1}\ngreet:\n  who: file\n  times: 2\n  style: {polite: true, voice: {words: [f]}}\n"
    )
    given = values("--who", "typed", "--style.voice.volume", "0.9", "--no-style.polite", config=file)
    assert (given["who"], given["times"]) == ("typed", 2)
    assert given["style"].model_dump() == {"polite": False, "voice": {"volume": 0.9, "words": ["f"]}}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--who must be given"),
        (["--who", "x", "--times", "many"], "--times: input should be a valid integer.*'many'"),
        (["--who", "x", "--style.voice.volume", "7"], "--style.voice.volume: input should be less than or equal to 1"),
    ],
)
def test_a_bad_value_names_its_option(values: Callable[..., Any], arguments: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        values(*arguments)


@pytest.mark.parametrize("arguments", [["--woh", "x"], ["--who"], ["--who", "x", "--tone", "shrill"], ["extra"]])
def test_bad_usage_is_refused_by_the_parser(values: Callable[..., Any], arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        values(*arguments)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("greet: {woh: x}", "c.yaml: unknown field greet.woh; did you mean who?"),
        ("greet: {who: x, style: {voice: {volum: 1}}}", "unknown field greet.style.voice.volum; did you mean volume?"),
        (
            "greet: {who: x, style: {voice: {volume: loud}}}",
            "c.yaml: greet.style.voice.volume: input should be a valid number",
        ),
        ("gret: {who: x}", "section 'gret' names no flow; did you mean greet?"),
        ("other: {who: x}", "no section 'greet'; it has: other"),
        ("greet: [1]", "section 'greet' must hold"),
        ("- greet", "one section a flow"),
        ("greet:\n  who: [", "line 3: not valid YAML"),
    ],
)
def test_a_bad_file_is_named_with_its_field(
    values: Callable[..., Any], tmp_path: Path, content: str, complaint: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content + "\n")
    with pytest.raises(InputError) as caught:
        values(config=file)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(values: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.yaml: No such file"):
        values(config=tmp_path / "nothing.yaml")


def test_help_has_every_parameter_with_default_and_description(import_greet: Callable[[], Any]) -> None:
    flow = import_greet()
    command = FlowCommand("greet", dict(flow.parameters), "Greet.", [])
    text = " ".join(command.get_help(click.Context(command, terminal_width=110)).split())
    for said in (
        "--who TEXT whom to greet. [required]",
        "--times NUMBER how often. [default: 1]",
        "--tone [warm|cool]",
        "style: how it is done:",
        "--style.polite / --no-style.polite [default: off]",
        "--style.voice.volume NUMBER How loud. [default: 0.7]",
        "--style.voice.words ITEM,…",
    ):
        assert said in text


def test_every_flow_of_this_project_has_options() -> None:
    """The real configurations: nested models two deep, mappings, tuples, optional fields."""
    from flows.lifecycle import lifecycle

    command = FlowCommand("lifecycle", dict(lifecycle.parameters), "", [])
    flags = {flag for param in command.params for flag in param.opts}
    assert {"--source", "--training.learning-rate", "--search.space", "--preparation.ratios"} <= flags
    arguments = [
        "--source",
        "s.csv",
        "--name",
        "n",
        "--gate.margins",
        "exact_match=0.1,bleu=2",
        "--preparation.ratios",
        "0.6,0.2,0.2",
    ]
    with command.make_context("lifecycle", [*arguments, "--training.max-steps", "null"]) as context:
        given = parameter_values(lifecycle.fn, dict(lifecycle.parameters), command.typed_values(context), None)
    assert given["source"] == "s.csv"
    assert given["preparation"].ratios == (0.6, 0.2, 0.2)
    assert given["training"].max_steps is None
    assert given["gate"].margins == {"exact_match": 0.1, "bleu": 2.0}
