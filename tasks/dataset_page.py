"""The page about a prepared dataset: one HTML file that needs no other beside it."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.preparation.report import PreparationReport, RuleSummary
from tasks.dataset_summary import percent
from tasks.report import STYLE, png_uri

MORE_STYLE = """<style>
body { max-width: 66rem }
h1 { margin-bottom: .2rem }
h2 { margin-top: 2.4rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem }
.about { color: #666; margin-top: 0 }
.refused { background: #fdecea; border-left: 4px solid #c8553d; padding: .6rem 1rem }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0 }
.card { border: 1px solid #ddd; border-radius: 6px; padding: .5rem .9rem; min-width: 7rem }
.card b { display: block; font-size: 1.45rem; font-weight: 600 }
.card span { color: #666; font-size: .85rem }
.error, .warning { border-radius: 3px; padding: 0 .4rem; color: #fff; font-size: .8rem }
.error { background: #c8553d } .warning { background: #b97a14 }
table { font-size: .9rem } th { background: #f6f7f9 } td.number { text-align: right; white-space: nowrap }
td { overflow-wrap: anywhere } td.where { overflow-wrap: break-word } td.short { white-space: nowrap }
details { margin: .4rem 0 } summary { cursor: pointer }
</style>"""

MEANINGS = {
    "faulty": "has an error, see the findings",
    "exact repeat": "says the same as an earlier row",
    "near duplicate": "is nearly the same as a row that was kept",
    "leaked": "its input or group is in the separate test file",
    "left out": "is beyond the number of rows asked for",
    "bridging": "would join two splits",
}
MOST_PAIRS = 50
LONGEST_TEXT = 400

Cell = str | int | float | None


def dataset_page(
    title: str,
    about: str,
    report: PreparationReport,
    dropped: pa.Table,
    pictures: Mapping[str, bytes],
    texts: Mapping[str, str],
    refused: str = "",
) -> str:
    """The whole page.

    Args:
        title: what was prepared, say ``support@3``.
        about: one line below the title, as HTML.
        report: what became of the rows.
        dropped: the rows left out, one by one (columns of `Prepared.dropped`).
        pictures: as `dataset_pictures` makes them.
        texts: of the samples that the examples and the dropped rows name, by id.
        refused: why nothing was published, where that is so.
    """
    shown = {name: f'<img src="{png_uri(picture)}" alt="{escape(name)}">' for name, picture in pictures.items()}
    sections = [
        _section("Where the rows went", shown.get("rows"), _rows(report)),
        _section("Findings", shown.get("findings"), *_findings(report, texts)),
        _section("Quality", shown.get("quality"), _quality(report)),
        _section("Lengths", shown.get("lengths")),
        _section("Classes", _balance(report.labels), shown.get("classes")),
        _section("Languages", _languages(report.languages), shown.get("languages")),
        _section("Rows dropped for another", _dropped_pairs(dropped, texts)),
        _section("Augmentation", _counts("made by", report.augmented), _counts("refused because", report.rejected)),
        _section("Sources", _table(["file", "rows", "SHA-256"], [(s.path, s.rows, s.digest) for s in report.sources])),
    ]
    why = f'<p class="refused"><b>Nothing was published.</b> {escape(_shortened(refused))}</p>' if refused else ""
    heading = f'<title>{escape(title)}</title><h1>{escape(title)}</h1><p class="about">{about}</p>'
    return "<!doctype html>" + STYLE + MORE_STYLE + heading + why + _cards(report) + "".join(sections)


def _section(title: str, *parts: str | None) -> str:
    content = "".join(part for part in parts if part)
    return f"<h2>{escape(title)}</h2>{content}" if content else ""


def _cards(report: PreparationReport) -> str:
    of = {severity: [one for one in report.findings if one.severity == severity] for severity in ("error", "warning")}
    figures = {
        "rows read": f"{report.read:,}",
        "dropped": f"{sum(report.dropped.values()):,}",
        **{split: f"{count:,}" for split, count in report.counts.items()},
        "inputs with several references": f"{report.several_references:,}",
        "errors": f"{sum(one.rows for one in of['error']):,}",
        "warnings": f"{sum(one.rows for one in of['warning']):,}",
        "mean quality": f"{report.quality.mean:.2f}",
    }
    cards = "".join(f'<div class="card"><b>{value}</b><span>{name}</span></div>' for name, value in figures.items())
    return f'<div class="cards">{cards}</div>'


def _rows(report: PreparationReport) -> str:
    read = max(report.read, 1)
    rows = [
        (reason, count, percent(count / read), MEANINGS.get(reason, ""))
        for reason, count in report.dropped.items()
        if count
    ]
    return _table(["dropped as", "rows", "share", "because the row"], rows) if rows else "<p>No row was dropped.</p>"


def _findings(report: PreparationReport, texts: Mapping[str, str]) -> Iterable[str]:
    if not report.findings:
        yield "<p>Nothing was found that is worth a word.</p>"
        return
    rows = "".join(
        f"<tr><td>{_badge(one.severity)}</td>"
        f'<td class="short"><a href="#{escape(one.rule)}">{escape(one.rule)}</a></td>'
        f'<td class="number">{one.rows:,}</td><td class="number">{percent(one.share)}</td>'
        f"<td>{escape(one.advice)}</td></tr>"
        for one in report.findings
    )
    yield _framed(["severity", "rule", "rows", "share", "what to do"], rows)
    for one in report.findings:
        yield _examples(one, texts)


def _badge(severity: str) -> str:
    return f'<span class="{escape(severity)}">{escape(severity)}</span>'


def _examples(rule: RuleSummary, texts: Mapping[str, str]) -> str:
    shown = [(one, texts.get(one.sample_id or "", "")) for one in rule.examples]
    with_text = any(text for _, text in shown)
    rows = "".join(
        f"<tr>{_place(one.file, one.line)}<td>{escape(_shortened(one.message))}</td>"
        + (f"<td>{escape(_shortened(text))}</td></tr>" if with_text else "</tr>")
        for one, text in shown
    )
    table = _framed(["where", "what is wrong", *(["text"] if with_text else [])], rows)
    rows_hit = f"{rule.rows:,} {'row' if rule.rows == 1 else 'rows'}"
    count = f"{len(shown)} of {rows_hit}" if rule.rows > len(shown) else rows_hit
    heading = f"<summary>{_badge(rule.severity)} <b>{escape(rule.rule)}</b>, {count}</summary>"
    return f'<details open id="{escape(rule.rule)}">{heading}{table}</details>'


def _place(file: str, line: int | None) -> str:
    """A file with its line, which a narrow column breaks between folders only."""
    text = escape(file if line is None else f"{file}:{line}")
    return f'<td class="where">{text.replace("/", "/<wbr>")}</td>'


def shown_pairs(dropped: pa.Table) -> pa.Table:
    """The first of the rows that were dropped for the sake of another."""
    return dropped.filter(pc.is_valid(dropped["kept_id"])).slice(0, MOST_PAIRS)


def _dropped_pairs(dropped: pa.Table, texts: Mapping[str, str]) -> str:
    pairs = len(dropped) - dropped["kept_id"].null_count
    if not pairs:
        return ""
    rows = "".join(
        f'<tr><td class="short">{escape(row["reason"])}</td>'
        f"{_place(row['file'], row['line'])}<td>{escape(_shortened(row['input'] or ''))}</td>"
        f"{_place(row['kept_file'], row['kept_line'])}<td>{escape(_shortened(texts.get(row['kept_id'], '')))}</td>"
        f'<td class="number">{"" if row["similarity"] is None else format(row["similarity"], ".2f")}</td></tr>'
        for row in shown_pairs(dropped).to_pylist()
    )
    more = f"<p>The first {MOST_PAIRS} of {pairs:,}; all of them are in dropped.parquet.</p>"
    table = _framed(["dropped as", "row", "its input", "because of", "its text", "similarity"], rows)
    return table + (more if pairs > MOST_PAIRS else "")


def _counts(heading: str, counts: Mapping[str, int]) -> str:
    return _table([heading, "samples"], list(counts.items())) if counts else ""


def _quality(report: PreparationReport) -> str:
    return (
        f"<p>A sample starts at 1 and loses some for each rule that has something to say about it; the mean is "
        f"{report.quality.mean:.3f}, and {percent(report.quality.below_half)} of the samples are below one half.</p>"
    )


def _balance(labels: Mapping[str, int]) -> str:
    if not labels:
        return ""
    largest, smallest = max(labels, key=labels.__getitem__), min(labels, key=labels.__getitem__)
    return (
        f"<p>{len(labels)} classes, from {labels[largest]:,} samples of <b>{escape(largest)}</b> down to "
        f"{labels[smallest]:,} of <b>{escape(smallest)}</b>.</p>"
    )


def _languages(languages: Mapping[str, int]) -> str:
    if len(languages) != 1:
        return ""
    [(language, count)] = languages.items()
    return f"<p>{count:,} samples are in {escape(language)}; no other language was recognised.</p>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return _framed(headings, body)


def _framed(headings: Sequence[str], body: str) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Cell) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"


def _shortened(text: str) -> str:
    """A text of a few lines; what is wrong with a long one is at its end as often as at its beginning."""
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 120]} […] {text[-120:]}"
