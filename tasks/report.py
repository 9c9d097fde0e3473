"""The report of an evaluation: tables, verdicts, examples and pictures, in Prefect and beside the MLflow run."""

import base64
import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from mlflow import MlflowClient
from mlflow.entities import Metric
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from llmops.evaluation import Estimate
from llmops.settings import settings
from tasks.comparison_figures import MARGIN, differences_figure, slices_figure
from tasks.evaluation_result import ChangedQuestion, ComparedWith, EvaluationResult, ShownMetric

SHOWN_CHANGES = 20
LONGEST_CELL = 600
MARKUP = re.compile(r"[\\`*_\[\]~|&]")
BREAKS_A_CELL = re.compile(r"[\\|]")

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
    figures = report_figures(result)
    if training_run_id:
        figures["loss"] = loss_figure(training_run_id)
    text = report_markdown(result, log_pictures(result.run_id, figures))
    page = STYLE + MarkdownIt("commonmark").enable("table").render(text)
    MlflowClient().log_text(result.run_id, page, "report.html")
    create_markdown_artifact(text, key=f"evaluation-{artifact_key(name)}", description=result.headline)


def artifact_key(name: str) -> str:
    """A name as Prefect wants its artifact keys: lower-case letters, digits and dashes.

    >>> artifact_key("Support_Tickets.v2")
    'support-tickets-v2'
    """
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower())


def report_figures(result: EvaluationResult) -> dict[str, Figure]:
    """The pictures of a report by the names of their files; of the second comparison on, with its number."""
    figures = {"metrics": metrics_figure(result)}
    for number, one in enumerate(result.comparisons):
        figures[f"differences{_ending(number)}"] = differences_figure(result.model, one, result.shown)
        if one.slices:
            figures[f"slices{_ending(number)}"] = slices_figure(result.model, one, result.shown)
    return figures


def _ending(number: int) -> str:
    return f"-{number + 1}" if number else ""


def report_markdown(result: EvaluationResult, pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """The report as markdown: what came out, every figure with its interval, and examples.

    Args:
        result: what to report.
        pictures: links to the pictures by their names; each stands beside its figures.
    """
    embedded = {name: f"![{name}]({link})" for name, link in pictures.items()}
    parts = [f"# {_escaped(result.headline)}"]
    if result.promotion is not None:
        parts.append(f"**{_escaped(result.promotion.sentence)}**")
    parts += [figures_markdown(result), embedded.get("metrics", "")]
    parts += [f"**Note.** {_escaped(note)}" for note in result.notes]
    if result.asking is not None and result.asking.sentence:
        parts.append(f"Answers: {result.asking.sentence}.")
    parts += [f"Judges of {_escaped(name)}: {_escaped(panel.sentence)}" for name, panel in result.judges.items()]
    for number, compared in enumerate(result.comparisons):
        shown = [embedded.get(f"{name}{_ending(number)}", "") for name in ("differences", "slices")]
        parts += comparison_markdown(result, compared, *shown)
    if result.examples:
        parts.append(f"## {len(result.examples)} held-out inputs")
        for one in result.examples:
            rows = [["wanted", one.expected], ["before", one.baseline or ""], ["after", one.output or ""]]
            parts.append(text_table(["input", one.input], rows))
    parts.append(embedded.get("loss", ""))
    parts.append(f"Dataset `{result.dataset}`, {result.split} split. MLflow run {run_link(result.run_id)}.")
    return "\n\n".join(part for part in parts if part)


def comparison_markdown(result: EvaluationResult, one: ComparedWith, differences: str, slices: str) -> list[str]:
    """A comparison: verdicts, slices, what judges prefer, and the questions that broke or were fixed."""
    parts = [f"## Against {_escaped(one.model)}: {one.comparison.verdict}", _escaped(one.comparison.sentence)]
    parts.append("\n".join(f"- {_escaped(verdict.sentence)}" for verdict in one.comparison.verdicts.values()))
    parts.append(differences)
    parts += [_escaped(preference.sentence) for preference in one.preferences]
    if one.slices:
        parts += ["### Slices", "Verdicts are corrected for the number of slices and metrics.", slices]
        parts.append(slices_markdown(one, result.shown))
    if one.changes is not None:
        said = _escaped(one.changes.sentence)
        if max(one.changes.regressed, one.changes.fixed) > SHOWN_CHANGES:
            said += f" The {SHOWN_CHANGES} largest changes of each kind:"
        parts += ["### What changed", said]
        models = [one.model, result.model]
        parts += _changed("broke", models, one.changes.regressions) + _changed("fixed", models, one.changes.fixes)
    return parts


def slices_markdown(one: ComparedWith, shown: Mapping[str, ShownMetric]) -> str:
    """The differences by slice, in the units of the other figures."""
    rows = []
    for part in one.slices:
        metric, span = shown[part.metric], part.difference
        digits = 1 if metric.scale in ("share", "hundred") else 3
        said = ""
        if span is not None:
            value, low, high = (f"{metric.factor * number:+.{digits}f}" for number in (span.value, span.low, span.high))
            said = f"{value} [{low}, {high}]"
        rows.append([f"{part.column} = {part.value}", metric.heading, f"{part.n:,}", said, part.verdict])
    return text_table(["slice", "metric", "questions", "difference", "verdict"], rows)


def _changed(what: str, models: list[str], changes: list[ChangedQuestion]) -> list[str]:
    rows = [[one.input, one.expected, one.before, one.after] for one in changes[:SHOWN_CHANGES]]
    return [text_table([f"{what}: input", "wanted", *models], rows)] if rows else []


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
    return text_table(["metric", *columns, "verdict"], rows)


def columns_of(result: EvaluationResult) -> dict[str, Mapping[str, Estimate]]:
    """What is shown side by side: the compared models, copying, and last the model itself."""
    columns: dict[str, Mapping[str, Estimate]] = {one.model: one.metrics for one in result.comparisons}
    if result.nearest_neighbour:
        columns["copying the nearest training answer"] = result.nearest_neighbour
    return columns | {result.model: result.metrics}


def text_table(headings: list[str], rows: list[list[str]]) -> str:
    """A markdown table of texts, each shown as it was written: no star of a model's answer is taken for emphasis."""
    return _table([[_shortened(cell) for cell in row] for row in (headings, *rows)], MARKUP)


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """A markdown table whose cells are markdown themselves, without tags; none can break out of its cell."""
    return _table([[_shortened(cell) for cell in row] for row in (headings, *rows)], BREAKS_A_CELL)


def _table(lines: list[list[str]], markup: re.Pattern[str]) -> str:
    head, *body = ([_escaped(" ".join(cell.split("\n")), markup) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))


def _shortened(text: str) -> str:
    """A long text without its middle: what is asked stands at its beginning, what is answered often at its end."""
    if len(text) <= LONGEST_CELL:
        return text
    return f"{text[: LONGEST_CELL // 2]} … {text[-LONGEST_CELL // 2 :]}"


def _escaped(text: str, markup: re.Pattern[str] = MARKUP) -> str:
    return markup.sub(r"\\\g<0>", text).replace("<", "&lt;")


def metrics_figure(result: EvaluationResult) -> Figure:
    """Every metric on a scale up to 100 with its 95 % interval, one colour a model."""
    names = [name for name in result.metrics if result.shown[name].scale not in ("number", "real")]
    columns = columns_of(result)
    height = 1.3 + 0.25 * (1 + len(columns)) * len(names)
    figure = Figure(figsize=(9, height), layout=ConstrainedLayoutEngine(w_pad=MARGIN, h_pad=MARGIN))
    axes = figure.subplots()
    for place, (model, figures) in enumerate(columns.items()):
        shift = (place - (len(columns) - 1) / 2) * 0.8 / len(columns)
        shown = [(row, name) for row, name in enumerate(names) if name in figures]
        scale = [1.0 if result.shown[name].scale == "hundred" else 100.0 for _, name in shown]
        middle = [figures[name].value * by for (_, name), by in zip(shown, scale, strict=True)]
        low = [(figures[name].value - figures[name].low) * by for (_, name), by in zip(shown, scale, strict=True)]
        high = [(figures[name].high - figures[name].value) * by for (_, name), by in zip(shown, scale, strict=True)]
        label = model.replace("$", r"\$")
        axes.errorbar(middle, [row + shift for row, _ in shown], xerr=[low, high], fmt="o", capsize=3, label=label)
    axes.set_yticks(range(len(names)), [result.shown[name].label for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(-2, max(102, axes.get_xlim()[1]))  # errors a reference length (TER) can be more than 100 %
    axes.set_xlabel("points, with 95 % intervals")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=1 if max(map(len, columns)) > 40 else 2, frameon=False)
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


def log_pictures(run_id: str, figures: Mapping[str, Figure], folder: str | None = None) -> dict[str, str]:
    """Leave each figure as a PNG beside an MLflow run, and return it as a link by its name: drawing it takes time.

    Args:
        folder: of the run's artifacts, which they go into.
    """
    pictures = {name: png(figure) for name, figure in figures.items()}
    with tempfile.TemporaryDirectory() as here:
        for name, picture in pictures.items():
            (Path(here) / f"{name}.png").write_bytes(picture)
        MlflowClient().log_artifacts(run_id, here, folder)
    return {name: png_uri(picture) for name, picture in pictures.items()}


def png(figure: Figure) -> bytes:
    """A figure as a PNG; `Figure.savefig` gives the same bytes and draws twice for them."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def png_uri(picture: bytes) -> str:
    """A PNG inside a link, so that a page needs no file beside it."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
