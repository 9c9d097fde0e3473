"""The record that a search leaves: pictures and tables beside its MLflow run, the same as artifacts in Prefect."""

import csv
import io
from pathlib import Path

from mlflow import MlflowClient
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from llmops.settings import settings
from tasks.report import artifact_key, log_pictures, markdown_table, run_link, text_table
from tasks.search_figures import search_figures
from tasks.search_result import SearchResult, capitalised, ranked, said_values, trial_rows
from tasks.tracking import set_tags

PICTURES = "pictures"
CAPTIONS = {
    "history": "How it went",
    "parallel_coordinates": "Which values were good",
    "importance": "What mattered, of trials that ran to their end",
    "pareto_front": "What costs what",
    "finalists": "The best again, with new seeds",
}


@task(name="search report", cache_policy=NO_CACHE)
def publish_search(result: SearchResult, name: str, log_scaled: frozenset[str]) -> None:
    """Leave the pictures, ``trials.csv`` and ``search.json`` beside the MLflow run, and two artifacts in Prefect.

    In Prefect ``search-NAME`` is the text with the pictures and ``search-NAME-trials`` the table; both keep their
    history over the searches of a name.
    """
    assert result.run_id is not None
    client = MlflowClient()
    links = log_pictures(result.run_id, search_figures(result, log_scaled), PICTURES)
    client.log_text(result.run_id, trials_csv(result), "trials.csv")
    client.log_text(result.run_id, result.model_dump_json(indent=2), "search.json")
    set_tags(result.run_id, {"best": said_values(result.best), "best.trial": str(result.best_trial)})

    key = f"search-{artifact_key(name)}"
    create_markdown_artifact(search_markdown(result, links), key=key, description=headline(result))
    headings, rows = trial_rows(ranked(result.trials), result.objectives)
    table = [dict(zip(headings, row, strict=True)) for row in rows]
    create_table_artifact(table, key=f"{key}-trials", description=f"**{headline(result)}**")


def headline(result: SearchResult) -> str:
    """The result in a line."""
    return f"Search on {result.dataset}: trial {result.best_trial} with {said_values(result.best)}"


def search_markdown(result: SearchResult, pictures: dict[str, str]) -> str:
    """The result as markdown.

    Args:
        result: what to report.
        pictures: links to the pictures by their names.
    """
    parts = [f"# {headline(result)}"]
    if result.finale is not None:
        parts.append(f"**{capitalised(result.finale.sentence)}**")
    parts += [f"**Note.** {note}" for note in result.notes]
    parts.append(f"{capitalised(result.stopped)}. Spent: {result.spent.sentence}.")
    parts.append(f"Go on with\n\n    {result.next_command}")
    for name, link in pictures.items():
        parts.append(f"## {CAPTIONS[name]}\n\n![{name}]({link})")
    parts.append("## Trials")
    parts.append(text_table(*trial_rows(ranked(result.trials), result.objectives)))
    if result.finale is not None:
        rows = [
            [f"trial {one.trial}", said_values(one.values), ", ".join(map(_loss, one.losses)), _loss(one.mean)]
            for one in result.finale.finalists
        ]
        parts += ["## Finalists", markdown_table(["finalist", "values", "losses by seed", "mean"], rows)]
    if result.run_id:
        parts.append(f"Dataset `{result.dataset}`. MLflow run {run_link(result.run_id)}.")
    return "\n\n".join(parts)


def _loss(loss: float | None) -> str:
    return "diverged" if loss is None else f"{loss:.4f}"


def trials_csv(result: SearchResult) -> str:
    """Every trial in a row, by number, with all digits."""
    fields = list(dict.fromkeys(name for one in result.trials for name in one.values))
    text = io.StringIO()
    writer = csv.writer(text)
    figures = ["loss", "seconds", "tokens", "cost", "steps", "run_id", "reason"]
    writer.writerow(["trial", "state", *fields, *figures])
    for one in result.trials:
        values = [one.values.get(name, "") for name in fields]
        numbers = ["" if (value := getattr(one, name)) is None else value for name in figures]
        writer.writerow([one.number, one.state, *values, *numbers])
    return text.getvalue()


def pictures_place(run_id: str) -> str:
    """Where a person finds the pictures: their folder, or the run's page on a server."""
    server = settings().tracking_uri
    run = MlflowClient().get_run(run_id).info
    if server.startswith("http"):
        return f"{server.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run_id}/artifacts"
    folder = Path(str(run.artifact_uri).removeprefix("file://")) / PICTURES
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
