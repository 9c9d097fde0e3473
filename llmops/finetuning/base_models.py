"""Find the model that training starts from, or make it.

==================  ==================================================================================
``tiny``            a small model that this project trains on the spot on text of its own
``scratch``         random weights, and a tokenizer of the data set's own text
a folder            a transformers folder on this machine, used where it is
``models:/…``       a model of the MLflow registry, by alias or version
anything else       the id of a model on the Hugging Face hub, kept in its own cache
==================  ==================================================================================

What is made or fetched here is kept under ``<kind>-<digest>``: made once, however many processes ask for it,
and there either whole or not at all.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from llmops.digests import content_digest, folder_digest
from llmops.errors import InputError
from llmops.finetuning.config import ScratchRecipe

OnProgress = Callable[[int, int, dict[str, float]], None]  # (steps done, steps in all, metrics)

WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class ResolvedBase:
    """A base model on this machine.

    Attributes:
        name: what a person calls it; a registered model by its version.
        path: transformers folder with weights and tokenizer.
        digest: names the content: equal digests mean the same model.
        reused: it was there before.
    """

    name: str
    path: Path
    digest: str
    reused: bool


def resolve_base_model(
    spec: str,
    *,
    models_dir: Path,
    scratch: ScratchRecipe | None = None,
    texts: Sequence[str] = (),
    on_progress: OnProgress = lambda done, total, metrics: None,
) -> ResolvedBase:
    """Bring the base model that ``spec`` names onto this machine.

    Args:
        spec: ``tiny``, ``scratch``, a folder, ``models:/name@alias``, ``models:/name/version``, or a hub id.
        models_dir: where made and fetched models are kept.
        scratch: sizes for ``scratch``; the default recipe when None.
        texts: what the tokenizer of ``scratch`` is trained on: inputs and expected outputs of the training
            split.

    Raises:
        InputError: there is no such model, or it cannot be reached.
    """
    if spec == "tiny":
        return _tiny(models_dir, on_progress)
    if spec == "scratch":
        return _scratch(models_dir, scratch or ScratchRecipe(), texts)
    if spec.startswith("models:/"):
        return _registered(spec, models_dir)
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return _folder(folder.absolute())
    return _hub(spec)


def _tiny(models_dir: Path, on_progress: OnProgress) -> ResolvedBase:
    from llmops.finetuning.tiny import TinyRecipe, build_tiny, tiny_digest

    recipe = TinyRecipe()
    digest = tiny_digest(recipe)
    path, reused = _keep(models_dir, "tiny", digest, lambda new: build_tiny(new, recipe, on_progress))
    return ResolvedBase("tiny", path, digest, reused)


def _scratch(models_dir: Path, recipe: ScratchRecipe, texts: Sequence[str]) -> ResolvedBase:
    from llmops.finetuning.scratch import build_scratch, scratch_digest

    if not texts:
        raise InputError('model "scratch" is made from training texts, and there are none; name another')
    digest = scratch_digest(recipe, texts)
    path, reused = _keep(models_dir, "scratch", digest, lambda new: build_scratch(new, recipe, texts))
    return ResolvedBase("scratch", path, digest, reused)


def _folder(folder: Path) -> ResolvedBase:
    missing = _missing(folder)
    if missing:
        raise InputError(f"model {folder} is no transformers folder: it holds no {missing}")
    return ResolvedBase(str(folder), folder, folder_digest(folder), reused=True)


def _registered(spec: str, models_dir: Path) -> ResolvedBase:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        version = _model_version(spec)
        name = f"models:/{version.name}/{version.version}"
        # A version never changes; its time of creation tells it from one of the same number in another
        # registry.
        digest = content_digest({"model": name, "created": version.creation_timestamp, "run": version.run_id})

        def download(folder: Path) -> None:
            whole = folder.with_name(f"{folder.name}-download")
            shutil.rmtree(whole, ignore_errors=True)
            try:
                mlflow.artifacts.download_artifacts(artifact_uri=name, dst_path=str(whole))
                _pick_transformers_folder(whole, name, folder)
            finally:
                shutil.rmtree(whole, ignore_errors=True)

        path, reused = _keep(models_dir, "registered", digest, download)
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model {spec} is not in the MLflow registry ({reason})") from error
    return ResolvedBase(name, path, digest, reused)


def _model_version(spec: str) -> Any:
    import mlflow

    client = mlflow.MlflowClient()
    name, at, alias = spec.removeprefix("models:/").partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, _, version = name.rpartition("/")
    if not name or not version.isdigit():
        raise InputError(f"model {spec} names no version; write models:/NAME@ALIAS or models:/NAME/VERSION")
    return client.get_model_version(name, version)


def _pick_transformers_folder(downloaded: Path, name: str, folder: Path) -> None:
    """Copy weights and tokenizer, which MLflow's transformers flavour keeps apart, into one folder."""
    configs = sorted(downloaded.rglob("config.json"), key=lambda path: len(path.parts))
    weights = next((path.parent for path in configs if _has_weights(path.parent)), None)
    tokenizers = sorted(downloaded.rglob("tokenizer_config.json"), key=lambda path: len(path.parts))
    if weights is None or not tokenizers:
        raise InputError(f"model {name} holds no transformers weights with a tokenizer; register full weights")
    shutil.copytree(weights, folder)
    if tokenizers[0].parent != weights:
        shutil.copytree(tokenizers[0].parent, folder, dirs_exist_ok=True)


def _hub(spec: str) -> ResolvedBase:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    choices = f'"{spec}" is neither "tiny", "scratch", a folder nor models:/…'
    try:
        try:
            cached = snapshot_download(spec, allow_patterns=wanted, local_files_only=True)
        except OSError:
            cached = None
        path = Path(snapshot_download(spec, allow_patterns=wanted))
    except HFValidationError as error:
        raise InputError(f"model {choices}, and no valid id on the Hugging Face hub") from error
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"model {choices}, and the Hugging Face hub gave none ({reason})") from error
    missing = _missing(path)
    if missing:
        raise InputError(f"model {spec} on the Hugging Face hub holds no {missing}; choose another")
    digest = content_digest({"hub": spec, "commit": path.name})
    return ResolvedBase(spec, path, digest, reused=cached is not None and Path(cached) == path)


def _missing(folder: Path) -> str | None:
    """What a transformers folder needs and this one lacks."""
    if not (folder / "config.json").is_file():
        return "config.json"
    if not _has_weights(folder):
        return "weights (*.safetensors)"
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return "tokenizer (tokenizer.json)"
    return None


def _has_weights(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in WEIGHTS)


def _keep(models_dir: Path, kind: str, digest: str, build: Callable[[Path], None]) -> tuple[Path, bool]:
    """The folder ``<kind>-<digest>``, built under a temporary name if it is not there; and whether it was."""
    path = models_dir / f"{kind}-{digest[:16]}"
    if path.is_dir():
        return path, True
    models_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(models_dir / f".{path.name}.lock"):
        if path.is_dir():
            return path, True
        temporary = models_dir / f".{path.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            build(temporary)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return path, False
