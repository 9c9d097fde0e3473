"""Models as a task: found, fetched or trained on the spot, and kept by their content."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from llmops.errors import InputError
from llmops.evaluation.config import EvaluationConfig
from llmops.finetuning import ResolvedBase, ScratchRecipe, TrainingConfig, resolve_base_model
from llmops.llm import positions_of
from llmops.settings import settings
from tasks.hosted_models import find_hosted_model, require_weights
from tasks.progress import stage


@task(
    name="base model",
    task_run_name=lambda: f"base model {model_label(task_run.get_parameters()['spec'])}",
    cache_policy=NO_CACHE,
)
def prepare_base_model(spec: str, texts: Sequence[str], scratch: ScratchRecipe) -> ResolvedBase:
    """The folder of a base model; `texts` feed the tokenizer of one made from scratch."""
    with stage(f"Base model {model_label(spec)}") as line:
        base = _resolved(
            spec,
            scratch=scratch,
            texts=texts,
            on_progress=lambda done, total, figures: line.update(done, total, _say(figures)),
        )
        size = sum(file.stat().st_size for file in base.path.glob("*.safetensors")) / 1e6
        line.finish(f"{size:.1f} MB of weights" + (", kept from before" if base.reused else ""))
    return base


def find_model(spec: str) -> ResolvedBase:
    """The folder of a model that exists already.

    Raises:
        InputError: there is no such model, or it is one that a provider keeps.
    """
    return _resolved(spec)


def _resolved(spec: str, **how_to_make_it: Any) -> ResolvedBase:
    """The model; of a registered one that Ollama serves, the full weights that were trained on this machine.

    Raises:
        InputError: there is no such model, or its weights are not here.
    """
    models, training = settings().home / "models", settings().home / "training"
    hosted = find_hosted_model(spec)
    if hosted is not None and hosted.model.backend == "ollama":
        if not (training / hosted.model.job_id / "result.json").is_file():
            why = f"served by Ollama, and its training is no longer in {training}"
            raise InputError(f"{spec} is {why}: ask it as {hosted.model.asked_as}")
        from llmops.finetuning.backends.local import LocalBackend

        weights = LocalBackend(training).merged(hosted.model.job_id)
        return replace(resolve_base_model(str(weights), models_dir=models), name=hosted.uri)
    require_weights(spec)
    return resolve_base_model(spec, models_dir=models, **how_to_make_it)


def require_base_model(spec: str, training: TrainingConfig) -> None:
    """Refuse a base model that does not exist, or cannot be trained as asked, before anything is published.

    Raises:
        InputError: there is no such model, or the method does not suit it.
    """
    if spec == "scratch" and training.method != "full":
        raise InputError(
            f"base model scratch has random weights, which {training.method} would freeze; set the method to full"
        )
    if spec not in ("tiny", "scratch"):
        find_model(spec)


def require_room_for_answers(
    models: Sequence[str], evaluation: EvaluationConfig, scratch: ScratchRecipe = ScratchRecipe()
) -> None:
    """Refuse answers too long for a model that will be asked, before anything is trained or asked.

    Raises:
        InputError: there is no such model, or the longest answer leaves no room for a prompt.
    """
    for spec in models:
        if find_hosted_model(spec) is not None:
            continue  # how much it reads is its provider's affair
        positions = _positions(spec, scratch)
        if evaluation.local_max_new_tokens >= positions:
            raise InputError(
                f"evaluation.max_new_tokens {evaluation.local_max_new_tokens} leaves no room for a prompt in the "
                f"{positions} positions of model {model_label(spec)}; set it below {positions}"
            )


def _positions(spec: str, scratch: ScratchRecipe) -> int:
    """Longest sequence of a model in tokens, from its recipe or configuration: its weights are not read."""
    if spec == "tiny":
        from llmops.finetuning.tiny import TinyRecipe

        return TinyRecipe().positions
    if spec == "scratch":
        return scratch.positions
    from transformers import AutoConfig

    folder = Path(spec).expanduser()
    if not (folder / "config.json").is_file():
        folder = find_model(spec).path
    return positions_of(AutoConfig.from_pretrained(folder))


def model_label(spec: str) -> str:
    """What a person calls a model: a folder's name without its digest, anything else as it is.

    >>> model_label("/home/models/tiny-0123456789abcdef"), model_label("models:/support@champion")
    ('tiny', 'models:/support@champion')
    """
    if spec.startswith("models:/"):
        return spec
    return re.sub(r"-[0-9a-f]{16}$", "", spec.rstrip("/").rpartition("/")[2])


def _say(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,.3g}" for name, value in figures.items())
