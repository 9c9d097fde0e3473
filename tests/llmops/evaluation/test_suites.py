"""Suites as people write them, and what is said of those that are wrong."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmops.errors import InputError
from llmops.evaluation.suites import find_suite, read_suites

PROJECT = Path(__file__).parents[3]
SUITE = {"dataset": "support", "models": ["models:/support@champion", "openai/gpt-5"]}


def written(folder: Path, name: str = "quality", **fields: Any) -> Path:
    file = folder / "evaluation.yaml"
    file.write_text(yaml.safe_dump({"suites": {name: {**SUITE, **fields}}}))
    return file


def test_a_suite_in_full(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        prompt="prompts:/support/1.2.0",
        metrics=["exact_match"],
        baseline=["last", "run:abc", "models:/support@champion"],
        evaluation={"split": "validation"},
        gate={"primary": "exact_match", "margins": {"exact_match": 0.05}},
        schedule={"cron": "0 6 * * 1-5", "timezone": "Europe/Berlin"},
        on_promotion=True,
        concurrency=8,
    )
    suite = find_suite(file, "quality")
    assert suite.baseline == ("last", "run:abc", "models:/support@champion")
    assert suite.gate.margins == {"exact_match": 0.05}
    assert suite.schedule is not None
    assert (suite.schedule.cron, suite.schedule.timezone, suite.schedule.active) == (
        "0 6 * * 1-5",
        "Europe/Berlin",
        True,
    )
    assert suite.registered_models == ["support"]


def test_a_suite_asks_again_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert find_suite(written(tmp_path), "quality").evaluation.fresh
    assert find_suite(written(tmp_path, evaluation={"split": "train"}), "quality").evaluation.fresh
    assert not find_suite(written(tmp_path, evaluation={"fresh": False}), "quality").evaluation.fresh


@pytest.mark.parametrize(
    ("interval", "seconds"),
    # YAML 1.1 reads 1:30:00 as a number of base 60.
    [("90", 90), ("PT15M", 900), ("1:30:00", 5400), ("0.5", None), ("0", None), ("-60", None)],
)
def test_an_interval_in_seconds_or_as_a_duration(tmp_path: Path, interval: str, seconds: float | None) -> None:
    file = tmp_path / "evaluation.yaml"
    file.write_text(f"suites: {{a: {{dataset: d, models: [m], schedule: {{interval: {interval}}}}}}}")
    if seconds is None:
        with pytest.raises(InputError, match=r"suites\.a\.schedule\.interval: an interval is at least one second"):
            read_suites(file)
    else:
        schedule = read_suites(file)["a"].schedule
        assert schedule is not None
        assert schedule.interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "x"}, r"quality\.model: extra inputs"),
        ({"models": []}, r"quality\.models: "),
        ({"models": ["a", "a"]}, r"quality\.models: a name stands there twice"),
        ({"models": ["it's"]}, r"quality\.models: .*names no model"),
        ({"schedule": {"cron": "61 * * * *"}}, r"quality\.schedule\.cron: not a cron expression"),
        ({"schedule": {"cron": "0 0 31 2 *"}}, r"quality\.schedule\.cron: (not a cron|there is no such time)"),
        ({"schedule": {"cron": "0 6 * * *", "interval": 5}}, r"quality\.schedule: .*either cron or interval"),
        ({"schedule": {}}, r"quality\.schedule: .*either cron or interval"),
        ({"schedule": {"interval": 60, "timezone": "Mars/Base"}}, r"quality\.schedule\.timezone: no such time zone"),
        ({"gate": {"alpha": 2}}, r"quality\.gate\.alpha"),
        ({"evaluation": {"split": "exam"}}, r"quality\.evaluation\.split"),
        ({"concurrency": 0}, r"quality\.concurrency"),
        ({"models": ["openai/gpt-5"], "on_promotion": True}, r"quality: on_promotion needs a model of the registry"),
    ],
)
def test_what_is_wrong_is_said_with_file_suite_and_field(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_suites(written(tmp_path, **fields))
    assert str(caught.value).startswith(f"{tmp_path / 'evaluation.yaml'}: suites.")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["local", "Quality", "two words", "a/b", "-a", "a" * 61])
def test_names_that_prefect_or_a_lock_would_not_take(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="a suite's name is"):
        read_suites(written(tmp_path, name))


def test_a_suite_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no suite 'qualty'; there are: quality"):
        find_suite(written(tmp_path), "qualty")


def test_the_projects_own_suite_is_off_until_someone_wants_it() -> None:
    suites = read_suites(PROJECT / "configs" / "evaluation.yaml")
    assert suites
    assert not any(suite.schedule and suite.schedule.active for suite in suites.values())
