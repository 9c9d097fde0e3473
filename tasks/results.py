"""What each flow returns: the object that ``--json`` prints, and the tables that a person reads."""

from typing import Any

from pydantic import BaseModel, field_serializer
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from llmops.data import DatasetVersion, PreparationReport
from tasks.dataset_summary import next_commands, report_summary
from tasks.promotion import Rollback


class FlowResult(BaseModel):
    """What a flow returns; `exit_status` is what the command that ran it ends with."""

    @property
    def exit_status(self) -> int:
        """0 done and every gate passed, 1 a gate failed."""
        return 0


class DatasetResult(FlowResult):
    """A published dataset version and how it came about; `reused` says that the same version was there already."""

    dataset: str
    version: DatasetVersion
    report: PreparationReport
    reused: bool
    run_id: str
    report_at: str

    @field_serializer("version")
    def _version_without_its_report(self, version: DatasetVersion) -> dict[str, Any]:
        # The report of this run stands beside it; that of a version that was there already is in `llmops show dataset`.
        return version.model_dump(mode="json", exclude={"report"})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = Text(f"Dataset {self.dataset}", "bold")
        title.append(f"  {self.version.kind}, digest {self.version.digest[:12]}", "not bold dim")
        yield title
        if self.reused:
            yield Text("The same samples with the same settings as before: nothing new was published.", "yellow")
        yield ""
        yield report_summary(self.report)
        yield ""
        yield Text("Go on with")
        for line in (*next_commands(self.dataset, self.version.counts), "", f"Report  {self.report_at}"):
            yield Segment(f"  {line}".rstrip() + "\n")  # whole, to be copied, however narrow the terminal


class RollbackResult(FlowResult):
    """An alias that was given back."""

    rollback: Rollback
    model_uri: str
    run_id: str

    def __rich__(self) -> RenderableType:
        done = self.rollback
        said = f"{done.name}: version {done.champion} is champion again, version {done.former} no longer is."
        return Group(Text(said), *(Text(note, "yellow") for note in done.notes))
