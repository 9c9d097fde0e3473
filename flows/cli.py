"""The command `llmops`: starts the servers, runs flows, and shows what they left.

A flow is found by convention (see `flows.catalogue`) and its options are made from its own signature, so a new flow
needs no new code here. Nothing heavy is imported before it is known to be needed: `llmops --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from typer.exceptions import TyperException

from flows.catalogue import find_flows
from llmops.errors import InputError, LlmopsError

app = typer.Typer(
    name="llmops",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The whole life of an LLM application as Prefect flows, tracked in MLflow.",
    epilog="""[bold]Examples[/bold]

llmops list flows  ·  what can be run

llmops run lifecycle --help  ·  a flow's parameters

llmops run lifecycle --config configs/lifecycle.yaml  ·  from a file to a champion

llmops run lifecycle --config configs/lifecycle.yaml --training.learning-rate 0.001 --json

llmops up  ·  Prefect, MLflow and every deployment, until Ctrl-C
""",
)
PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.command("run", context_settings={**PASS_ON, "allow_interspersed_args": False})
def run(context: typer.Context) -> None:
    """Run one flow, here and now: llmops run FLOW [--parameter value …]."""
    if not context.args or context.args[0] in ("--help", "-h"):
        _explain_run()
        raise typer.Exit(0 if context.args else InputError.exit_status)
    from flows.run_command import run_command

    raise typer.Exit(run_command(context.args))


@app.command("up")
def up(
    prefect_port: Annotated[int, typer.Option(help="Where Prefect's page and API answer.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Where MLflow's page and API answer.")] = 5000,
) -> None:
    """Start Prefect, MLflow and every deployment of prefect.yaml on this machine, until Ctrl-C."""
    from flows.up import up as start

    raise typer.Exit(start(prefect_port, mlflow_port))


class Listed(StrEnum):
    """What `llmops list` lists."""

    flows = "flows"
    datasets = "datasets"
    models = "models"
    runs = "runs"


class Shown(StrEnum):
    """What `llmops show` shows."""

    dataset = "dataset"
    model = "model"
    run = "run"


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_command(what: Listed, json: AsJson = False) -> None:
    """List the flows, datasets, registered models or runs."""
    from flows.listings import list_things

    raise typer.Exit(list_things(what.value, json=json))


@app.command("show")
def show_command(
    what: Shown,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="NAME[@VERSION] of a dataset, NAME of a model, ID of a run.")
    ],
    json: AsJson = False,
) -> None:
    """Show one dataset version, model or run in full."""
    from flows.listings import show_thing

    raise typer.Exit(show_thing(what.value, name, json=json))


def _explain_run() -> None:
    flows = find_flows("flows")
    width = max(map(len, flows), default=0)
    lines = [
        "Usage: llmops run FLOW [--parameter value …] [--config FILE] [--json] [--verbose]",
        "",
        "Runs one flow, here and now. `llmops run FLOW --help` lists its parameters.",
        "",
        *(f"  {name:<{width}}  {flow.summary}" for name, flow in flows.items()),
    ]
    print("\n".join(lines))  # noqa: T201


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    command = typer.main.get_command(app)
    try:
        status = command.main(list(sys.argv[1:] if arguments is None else arguments), "llmops", standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except TyperException as error:
        message = error.format_message().replace("Value error, ", "")
        return _refuse(f"{message} (llmops --help lists the commands)", InputError.exit_status)
    except LlmopsError as error:
        return _refuse(str(error), error.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return status if isinstance(status, int) else 0


def _refuse(message: str, status: int) -> int:
    sys.stderr.write(f"Error: {' '.join(message.split())}\n")
    return status


def run_flow(name: str) -> None:
    """What `python -m flows.NAME …` does: the same as `llmops run NAME …`.

    Starts over in the same process, because the module that called is loaded as `__main__` (a second time, next to
    itself as the other flows import it), and Prefect has read its settings before there was a server to name.
    """
    os.execv(sys.executable, [sys.executable, "-m", "flows.cli", "run", name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
