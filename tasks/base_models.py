"""Models as a task: found, fetched or trained on the spot, and kept by their content."""

import re
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from llmops.errors import InputError
from llmops.finetuning import ResolvedBase, ScratchRecipe, TrainingConfig, resolve_base_model
from llmops.settings import settings
from tasks.progress import stage


@task(
    name="base model",
    task_run_name=lambda: f"base model {model_label(task_run.get_parameters()['spec'])}",
    cache_policy=NO_CACHE,
)
def prepare_base_model(spec: str, texts: Sequence[str], scratch: ScratchRecipe) -> ResolvedBase:
    """The folder of a base model; `texts` feed the tokenizer of one made from scratch."""
    with stage(f"Base model {model_label(spec)}") as line:
        base = resolve_base_model(
            spec,
            models_dir=settings().home / "models",
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
        InputError: there is no such model.
    """
    return resolve_base_model(spec, models_dir=settings().home / "models")


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
