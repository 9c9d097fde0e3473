"""`llmops export models:/… --format …`: a registered model as files that other programs take."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from flows.registered_weights import RegisteredVersion, find_version, find_weights
from flows.terminal import Terminal, log_file
from llmops.errors import InputError, LlmopsError
from llmops.settings import settings

TERMINATED = 143
TRAINING = "training.json"


class ExportedModel(BaseModel):
    """What was written: of which version, as what, where, and how much of it."""

    model: str
    format: str
    path: Path
    training: Path
    bytes: int

    def __str__(self) -> str:
        return (
            f"Wrote {self.model} as {self.format} to {self.path}: {self.bytes:,} bytes. "
            f"How it was trained: {self.training}."
        )


def model_export_command(model: str, format: str, to: Path, *, force: bool = False, json: bool = False) -> int:
    """Export one version of a registered model and return the command's exit status.

    Args:
        model: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        format: adapter, safetensors or gguf.
        to: a folder, or a file for gguf; it is replaced only with `force`.
        force: replace what is there.
        json: print one JSON object instead of a sentence.
    """
    terminal = Terminal(json=json)
    # An exit rather than an end, so that what was begun is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        exported = _export(model, format, to, force, terminal)
    except LlmopsError as error:
        terminal.error(str(error))
        return error.exit_status
    if json:
        terminal.print_json(to_json(exported).decode())
    else:
        terminal.out.print(str(exported), markup=False, soft_wrap=True)
    return 0


def _export(model: str, format: str, to: Path, force: bool, terminal: Terminal) -> ExportedModel:
    write = _writer(format)
    to = to.expanduser().absolute()
    training = to.with_name(f"{to.name}.{TRAINING}") if format == "gguf" else to / TRAINING
    for path in (to, training):
        if path.exists() and not force:
            raise InputError(f"{path}: exists already; name another, or replace it with --force")
    if not to.parent.is_dir():
        raise InputError(f"{to}: there is no folder {to.parent}; create it first")
    _require_replaceable(to, format)
    terminal.quiet_the_libraries(log_file(settings().require_home(), "export"))
    version = find_version(model)
    about = to_json(_training_of(version), indent=1)
    with (
        terminal.err.status(f"Writing {to}…"),
        tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.{os.getpid()}.") as part,
    ):
        made = Path(part) / to.name
        write(version, made)
        if format == "gguf":
            (Path(part) / training.name).write_bytes(about)
            (Path(part) / training.name).replace(training)
        else:
            (made / TRAINING).write_bytes(about)
        if to.is_dir():
            # A folder cannot be replaced by another in one step; the old one is gone when the command ends.
            to.replace(Path(part) / "replaced")
        made.replace(to)
    files = [to] if to.is_file() else [file for file in to.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return ExportedModel(model=version.uri, format=format, path=to, training=training, bytes=size)


def _writer(format: str) -> Callable[[RegisteredVersion, Path], None]:
    """What writes a format; of GGUF's converter it is known now that it is there.

    Raises:
        InputError: there is no such format for a model, or no converter.
    """
    from llmops.finetuning.gguf import require_converter, write_gguf

    if format == "gguf":
        converter = require_converter()
        return lambda version, to: write_gguf(find_weights(version), to, converter)
    writers = {"adapter": _write_adapter, "safetensors": _write_safetensors}
    if format not in writers:
        raise InputError(f"a model is not exported as {format!r}: the formats are adapter, safetensors and gguf")
    return writers[format]


def _require_replaceable(to: Path, format: str) -> None:
    """Refuse to replace a folder that is no model's: --force is not there to empty a home."""
    if format == "gguf":
        if to.is_dir() or to.suffix != ".gguf":
            raise InputError(f"{to}: format gguf is one file, named *.gguf")
    elif to.is_file() or (to.is_dir() and not (to / TRAINING).is_file() and next(to.iterdir(), None)):
        raise InputError(f"{to}: holds something else than an exported model; name another folder")


def _write_adapter(version: RegisteredVersion, to: Path) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    missing = InputError(
        f"{version.uri} has no adapter: it was trained with method full, or elsewhere; export it as safetensors"
    )
    if version.run_id is None:
        raise missing
    try:
        downloaded = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path="adapter", dst_path=str(to.parent)
        )
    except (MlflowException, OSError) as error:
        raise missing from error
    if not (Path(downloaded) / "adapter_config.json").is_file():
        raise missing
    Path(downloaded).replace(to)


def _write_safetensors(version: RegisteredVersion, to: Path) -> None:
    shutil.copytree(find_weights(version), to)


def _training_of(version: RegisteredVersion) -> dict[str, Any]:
    """Settings, last figures and data of the training, as MLflow has them."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    known = client.get_model_version(version.name, version.version)
    about: dict[str, Any] = {"model": version.uri, "tags": dict(known.tags), "run_id": version.run_id}
    try:
        run = client.get_run(version.run_id) if version.run_id else None
    except MlflowException:
        run = None
    if run is not None:
        about |= {"settings": dict(run.data.params), "metrics": dict(run.data.metrics)}
    return about
