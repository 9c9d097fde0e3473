"""The report of an evaluation: tables, verdicts, examples and pictures, in Prefect and beside the MLflow run."""

import base64
import io
from collections.abc import Mapping

from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from llmops.evaluation import Estimate
from llmops.settings import settings
from tasks.comparison_figures import differences_figure, slices_figure
from tasks.evaluation_result import ChangedQuestion, ComparedWith, EvaluationResult

SHOWN_CHANGES = 20

STYLE = """<meta charset="utf-8"><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { border: 1px solid #ddd; padding: .35rem .6rem; vertical-align: top; text-align: left }
img { max-width: 100% }
code { white-space: pre-wrap }
</style>"""


@task(name="report", cache_policy=NO_CACHE)
def publish_report(result: EvaluationResult, name: str, training_run_id: str | None = None) -> None:
    """Publish an evaluation for people to read.

    Args:
        result: what to report.
        name: dataset or model; the Prefect artifact of one name keeps its history.
        training_run_id: MLflow run that holds the loss curve, where the model was trained here.
    """
    client = MlflowClient()
    pictures = {"metrics": metrics_figure(result)}
    for number, one in enumerate(result.comparisons):
        ending = f"-{number + 1}" if number else ""
        pictures[f"differences{ending}"] = differences_figure(one, result.shown)
        if one.slices:
            pictures[f"slices{ending}"] = slices_figure(one)
    if training_run_id:
        pictures["loss"] = loss_figure(training_run_id)
    for picture, figure in pictures.items():
        client.log_figure(result.run_id, figure, f"{picture}.png")
    embedded = "\n\n".join(f"![{picture}]({data_uri(figure)})" for picture, figure in pictures.items())
    text = f"{report_markdown(result)}\n\n{embedded}\n"
    page = STYLE + MarkdownIt("commonmark").enable("table").render(text)
    client.log_text(result.run_id, page, "report.html")
    create_markdown_artifact(text, key=f"evaluation-{artifact_key(name)}", description=result.headline)


def artifact_key(name: str) -> str:
    """A name as Prefect wants its artifact keys: lower-case letters, digits and dashes.

    >>> artifact_key("Support_Tickets.v2")
    'support-tickets-v2'
    """
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower())


def report_markdown(result: EvaluationResult) -> str:
    """The report as markdown: what came out, every figure with its interval, and examples."""
    parts = [f"# {result.headline}"]
    if result.promotion is not None:
        parts.append(f"**{result.promotion.sentence}**")
    parts.append(figures_markdown(result))
    parts += [f"**Note.** {_escaped(note)}" for note in result.notes]
    if result.asking is not None and result.asking.sentence:
        parts.append(f"Answers: {result.asking.sentence}.")
    parts += [f"Judges of {name}: {_escaped(panel.sentence)}" for name, panel in result.judges.items()]
    for compared in result.comparisons:
        parts += comparison_markdown(compared)
    if result.examples:
        parts.append(f"## {len(result.examples)} held-out inputs")
        for one in result.examples:
            rows = [["wanted", one.expected], ["before", one.baseline or ""], ["after", one.output or ""]]
            parts.append(markdown_table(["input", _cell(one.input)], rows))
    parts.append(f"Dataset `{result.dataset}`, {result.split} split. MLflow run {run_link(result.run_id)}.")
    return "\n\n".join(parts)


def comparison_markdown(one: ComparedWith) -> list[str]:
    """A comparison: verdicts, slices, what judges prefer, and the questions that broke or were fixed."""
    parts = [f"**Against {one.model}: {one.comparison.verdict}.** {_escaped(one.comparison.sentence)}"]
    parts.append("\n".join(f"- {_escaped(verdict.sentence)}" for verdict in one.comparison.verdicts.values()))
    parts += [_escaped(preference.sentence) for preference in one.preferences]
    if one.slices:
        rows = []
        for part in one.slices:
            span = part.difference
            said = f"{span.value:+.3f} [{span.low:+.3f}, {span.high:+.3f}]" if span else ""
            rows.append([f"{part.column} = {part.value}", part.label, f"{part.n:,}", said, part.verdict])
        parts.append("### Slices\n\nVerdicts are corrected for the number of slices and metrics.")
        parts.append(markdown_table(["slice", "metric", "questions", "difference", "verdict"], rows))
    if one.changes is not None:
        parts.append(f"### What changed\n\n{one.changes.sentence}")
        parts += _changed("broke", one.changes.regressions) + _changed("fixed", one.changes.fixes)
    return parts


def _changed(what: str, changes: list[ChangedQuestion]) -> list[str]:
    rows = [[one.input, one.expected, one.before, one.after] for one in changes[:SHOWN_CHANGES]]
    return [markdown_table([f"{what}: input", "wanted", "before", "after"], rows)] if rows else []


def run_link(run_id: str) -> str:
    """An MLflow run as a link to its page, or as its bare id where no server shows it."""
    server = settings().tracking_uri
    if not server.startswith("http"):
        return f"`{run_id}`"
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    return f"[{run_id}]({server}/#/experiments/{experiment}/runs/{run_id})"


def figures_markdown(result: EvaluationResult) -> str:
    """Every metric of every model, with its interval."""
    columns = columns_of(result)
    rows = []
    for name in result.metrics:
        shown = result.shown[name]
        cells = [shown.say(figures[name]) if name in figures else "" for figures in columns.values()]
        rows.append([shown.heading, *cells, result.verdicts.get(name, "")])
    return markdown_table(["metric", *columns, "verdict"], rows)


def columns_of(result: EvaluationResult) -> dict[str, Mapping[str, Estimate]]:
    """What is shown side by side: the compared models, copying, and last the model itself."""
    columns: dict[str, Mapping[str, Estimate]] = {one.model: one.metrics for one in result.comparisons}
    if result.nearest_neighbour:
        columns["copying the nearest training answer"] = result.nearest_neighbour
    return columns | {result.model: result.metrics}


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """A markdown table; what a model wrote cannot break out of its cell."""
    lines = [headings, ["---"] * len(headings), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    escaped = _escaped(text).replace("|", "\\|").replace("\n", " ")
    return escaped if len(escaped) <= 600 else f"{escaped[:600]}…"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("<", "&lt;")


def metrics_figure(result: EvaluationResult) -> Figure:
    """Every metric between 0 and 100 with its 95 % interval, one colour a model."""
    names = [name for name in result.metrics if result.shown[name].scale not in ("number", "real")]
    columns = columns_of(result)
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(names)), layout="constrained")
    axes = figure.subplots()
    for place, (model, figures) in enumerate(columns.items()):
        shift = (place - (len(columns) - 1) / 2) * 0.2
        shown = [(row, name) for row, name in enumerate(names) if name in figures]
        scale = [1.0 if result.shown[name].scale == "hundred" else 100.0 for _, name in shown]
        middle = [figures[name].value * by for (_, name), by in zip(shown, scale, strict=True)]
        low = [(figures[name].value - figures[name].low) * by for (_, name), by in zip(shown, scale, strict=True)]
        high = [(figures[name].high - figures[name].value) * by for (_, name), by in zip(shown, scale, strict=True)]
        axes.errorbar(middle, [row + shift for row, _ in shown], xerr=[low, high], fmt="o", capsize=3, label=model)
    axes.set_yticks(range(len(names)), [result.shown[name].label for name in names])
    axes.invert_yaxis()
    axes.set_xlim(-2, 102)
    axes.set_xlabel("0 to 100, with 95 % intervals")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def loss_figure(run_id: str) -> Figure:
    """Training and validation loss, and the learning rate below."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    for name, label in (("loss", "training"), ("validation_loss", "validation")):
        upper.plot(*_curve(run_id, name), label=label, marker="o" if label == "validation" else None, markersize=3)
    upper.set_ylabel("loss, nats per token")
    upper.legend(frameon=False)
    lower.plot(*_curve(run_id, "learning_rate"), color="grey")
    lower.set_ylabel("learning rate")
    lower.set_xlabel("step")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def _curve(run_id: str, name: str) -> tuple[list[int], list[float]]:
    history: list[Metric] = sorted(MlflowClient().get_metric_history(run_id, name), key=lambda one: one.step)
    return [one.step for one in history], [one.value for one in history]


def data_uri(figure: Figure) -> str:
    """A figure as a PNG inside a link, so that a page needs no file beside it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
