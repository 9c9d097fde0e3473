"""The command `llmops`: starts the servers, runs flows, and shows what they left.

A flow is found by convention (see `flows.catalogue`) and its options are made from its own signature, so a new flow
needs no new code here. Nothing heavy is imported before it is known to be needed: `llmops --help` answers at once.
"""

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from flows.catalogue import find_flows
from flows.export_help import EXPORT_HELP
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

llmops export support@3 --format openai --to train.jsonl  ·  a dataset version as a provider takes it

llmops up  ·  Prefect, MLflow and every deployment, until Ctrl-C

llmops serve-model support  ·  its champion behind an OpenAI-compatible endpoint
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
    configs: Annotated[
        Path | None, typer.Option(help="Folder of evaluation.yaml and notifications.yaml.", show_default="configs")
    ] = None,
) -> None:
    """Start Prefect, MLflow and every deployment of prefect.yaml on this machine, until Ctrl-C."""
    from flows.up import up as start

    raise typer.Exit(start(prefect_port, mlflow_port, configs.absolute() if configs else Path("configs")))


class Listed(StrEnum):
    """What `llmops list` lists."""

    flows = "flows"
    datasets = "datasets"
    models = "models"
    runs = "runs"
    jobs = "jobs"


class Shown(StrEnum):
    """What `llmops show` shows."""

    dataset = "dataset"
    model = "model"
    run = "run"
    job = "job"


JobReference = Annotated[str, typer.Argument(metavar="ID", help="Its id, the beginning of it, or the provider's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_command(what: Listed, json: AsJson = False) -> None:
    """List the flows, datasets, registered models, runs or fine-tuning jobs."""
    from flows.listings import list_things

    raise typer.Exit(list_things(what.value, json=json))


@app.command("show")
def show_command(
    what: Shown,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="NAME[@VERSION] of a dataset, NAME of a model, ID of a run or job.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="NAME[@VERSION]", help="Show how a dataset differs from this one instead.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show one dataset version, model, run or fine-tuning job in full, or how two dataset versions differ."""
    from flows.listings import show_difference, show_thing

    if against is None:
        raise typer.Exit(show_thing(what.value, name, json=json))
    if what is not Shown.dataset:
        raise InputError(
            f"--against compares two datasets, not a {what.value}: llmops show dataset NAME --against NAME@2"
        )
    raise typer.Exit(show_difference(name, against, json=json))


class Ended(StrEnum):
    """What `llmops cancel` and `llmops delete` are for."""

    job = "job"


@app.command("cancel")
def cancel(
    what: Ended,
    reference: JobReference,
    json: AsJson = False,
) -> None:
    """Cancel a fine-tuning job, where it runs; what it has cost by then stays to be paid."""
    from flows.job_commands import cancel_job

    raise typer.Exit(cancel_job(reference, json=json))


@app.command("delete")
def delete(
    what: Ended,
    reference: JobReference,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nobody.")] = False,
    json: AsJson = False,
) -> None:
    """Delete the model of a fine-tuning job, at its provider, and what the job left on this machine."""
    from flows.job_deletion import delete_job

    raise typer.Exit(delete_job(reference, yes=yes, json=json))


class ServingEngine(StrEnum):
    """What serves a model."""

    auto = "auto"
    transformers = "transformers"
    vllm = "vllm"


@app.command("serve-model")
def serve_model_command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="NAME (its champion), models:/NAME@ALIAS, or a folder (./FOLDER).")
    ],
    port: Annotated[int, typer.Option(help="Where it answers.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    engine: Annotated[ServingEngine, typer.Option(help="auto is vLLM where installed.")] = ServingEngine.auto,
) -> None:
    """Serve a model behind an OpenAI-compatible endpoint, until Ctrl-C."""
    from flows.serve_command import serve_model

    raise typer.Exit(serve_model(model, host, port, engine.value))


class Split(StrEnum):
    """What `llmops export` takes of a dataset version."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


@app.command("export", epilog=EXPORT_HELP)
def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@VERSION]", help="The dataset, without a version its latest; or models:/NAME@ALIAS."
        ),
    ],
    format: Annotated[str, typer.Option(metavar="FORMAT", help="One of the formats below.")],
    to: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to (a folder for most models); its folder must exist.")
    ],
    split: Annotated[Split, typer.Option(help="Which samples.")] = Split.train,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The model's tokenizer.json; without it tokens are estimated.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file whose section `export` changes providers' limits.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a dataset version to a file, as it is or as a provider's fine-tuning takes it; or a registered model."""
    if name.startswith("models:/"):
        from flows.model_export_command import model_export_command

        if tokenizer is not None or config is not None:
            raise InputError("--tokenizer and --config are for datasets; a model is exported as it is")
        raise typer.Exit(model_export_command(name, format, to, force=force, json=json))
    from flows.export_command import export_command

    status = export_command(name, split.value, format, to, force=force, tokenizer=tokenizer, config=config, json=json)
    raise typer.Exit(status)


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


def program() -> None:
    """The command `llmops`: `main`, and the end of the process."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.argv[1:2] in (["list"], ["show"], ["cancel"], ["delete"], ["export"]):
        # They leave nothing to be tidied up, and threads of the table readers may bring the interpreter's own end down.
        os._exit(status)
    sys.exit(status)


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
    program()
