"""Train a model on (prompt, expected) pairs, in a folder that can be trained on after any accident.

folder/checkpoints/   the newest two, and with early stopping the best
folder/model/         at the end: full weights, or an adapter; with the tokenizer
folder/result.json    what came out; where it is, training again returns it at once
"""

import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from llmops.digests import content_digest
from llmops.errors import InputError
from llmops.finetuning import checkpoints
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.progress import Progress, TrainingEvent
from llmops.llm.chat_format import EncodedExamples, encode_examples, ensure_chat_template
from llmops.llm.completions import Prompt
from llmops.llm.quiet import silence_transformers

MAX_VALIDATION_EXAMPLES = 256  # a fixed sample of this size is evaluated while training
# What a checkpoint holds beside the weights.
NOT_PART_OF_THE_MODEL = (
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state.pth",
    "training_args.bin",
    "README.md",
)

Pairs = Sequence[tuple[Prompt, str]]


class TrainingResult(BaseModel):
    """What a training run gave.

    Attributes:
        folder: the folder that was trained in.
        steps: steps done, fewer than ``total_steps`` after early stopping.
        loss: the last logged training loss.
        validation_loss: that of the weights in ``model_path``; None without validation examples.
        best_step: the step whose weights were kept.
        parameters: number of weights; trainable_parameters: how many of them were trained.
        tokens: tokens trained on, prompts included, padding not, since the last (re)start.
        seconds: wall time of training since the last (re)start, with validation and checkpoints.
        truncated, dropped: training examples that lost part of their prompt, or were left out; see
            chat_format.
        log: every entry of the log, whatever interruptions there were: ``step`` and its metrics.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    method: Literal["full", "lora", "qlora"]
    steps: int
    total_steps: int
    loss: float
    validation_loss: float | None
    best_step: int
    parameters: int
    trainable_parameters: int
    tokens: int
    seconds: float
    examples: int
    truncated: int
    dropped: int
    resumed_from: int | None
    log: list[dict[str, float]]

    @property
    def model_path(self) -> Path:
        """The trained model: full weights or a PEFT adapter."""
        return self.folder / "model"

    @property
    def tokens_per_second(self) -> float:
        """Mean speed since the last (re)start."""
        return self.tokens / self.seconds if self.seconds else 0.0


def train(
    base: Path,
    train_pairs: Pairs,
    validation_pairs: Pairs,
    config: TrainingConfig,
    folder: Path,
    on_event: Callable[[TrainingEvent], None] = lambda event: None,
) -> TrainingResult:
    """Train ``base`` on (prompt, expected) pairs; go on from the newest complete checkpoint if there is one.

    A resumed run repeats its past log as ``replayed`` events and then takes the very steps that an
    uninterrupted one would have taken. Sets the random state of python, numpy and torch. An exception from
    ``on_event`` ends the training and passes through; the checkpoints stay.

    Args:
        base: a transformers folder, see :func:`llmops.finetuning.base_models.resolve_base_model`.
        validation_pairs: may be empty; a fixed sample of at most 256 of them is evaluated while training.
        folder: created if need be; one folder belongs to one training.

    Raises:
        InputError: nothing to train on, the folder holds another training, early stopping without validation
            examples, or QLoRA without bitsandbytes.
        TrainingDivergedError: the loss became infinite or not a number.
    """
    if config.early_stopping_patience and not validation_pairs:
        raise InputError("early stopping needs validation examples, and there are none; unset the patience")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "training.lock"):
        _claim(folder, base, train_pairs, validation_pairs, config)
        if (folder / "result.json").is_file() and (folder / "model").is_dir():
            stored = json.loads((folder / "result.json").read_text())
            return TrainingResult.model_validate({**stored, "folder": folder})
        return _train(base, train_pairs, validation_pairs, config, folder, on_event)


def _train(
    base: Path,
    train_pairs: Pairs,
    validation_pairs: Pairs,
    config: TrainingConfig,
    folder: Path,
    on_event: Callable[[TrainingEvent], None],
) -> TrainingResult:
    silence_transformers()
    from transformers import AutoConfig, AutoTokenizer, set_seed

    from llmops.finetuning.completion_trainer import CompletionTrainer, training_arguments
    from llmops.finetuning.trainable_model import load_trainable

    tokenizer = AutoTokenizer.from_pretrained(base)
    ensure_chat_template(tokenizer)
    positions = getattr(AutoConfig.from_pretrained(base), "max_position_embeddings", None)
    max_length = min(config.max_length, positions or config.max_length)
    training = encode_examples(tokenizer, train_pairs, max_length)
    if not training.examples:
        raise InputError(f"none of the {len(train_pairs)} training examples fits in {max_length} tokens")
    validation = encode_examples(tokenizer, _sample(validation_pairs), max_length)
    set_seed(config.seed)
    model = load_trainable(base, config)
    total_steps = config.total_steps(len(training.examples))
    saved = checkpoints.complete_checkpoints(folder / "checkpoints")
    resumed_from = checkpoints.step_of(saved[-1]) if saved else None
    progress = Progress(total_steps, resumed_from, on_event)
    trainer = CompletionTrainer(
        model,
        training_arguments(config, folder / "checkpoints", total_steps, validate=bool(validation.examples)),
        config,
        training.examples,
        validation.examples,
        tokenizer.pad_token_id,
        on_log=progress.log,
    )
    if saved:
        progress.replay(checkpoints.state_of(saved[-1])["log_history"])
    if not saved or not _is_over(checkpoints.state_of(saved[-1]), total_steps, config):
        trainer.train(resume_from_checkpoint=str(saved[-1]) if saved else None)
    seconds = time.perf_counter() - trainer.started
    return _finish(folder, tokenizer, config, training, model, trainer.tokens_seen, seconds, progress)


def _claim(folder: Path, base: Path, train: Pairs, validation: Pairs, config: TrainingConfig) -> None:
    """Bind a folder to one training, so that it never goes on from the checkpoints of another.

    Raises:
        InputError: the folder belongs to another training.
    """
    ours = content_digest(
        {
            "base": [base.name, *sorted([file.name, file.stat().st_size] for file in base.iterdir())],
            "config": config.model_dump(),
            "train": [list(pair) for pair in train],
            "validation": [list(pair) for pair in validation],
        }
    )
    claim = folder / "training.digest"
    if not claim.is_file():
        _write(claim, ours)
    elif claim.read_text() != ours:
        raise InputError(f"{folder} holds a training with other data or settings; remove it or name another folder")


def _sample(pairs: Pairs) -> list[tuple[Prompt, str]]:
    if len(pairs) <= MAX_VALIDATION_EXAMPLES:
        return list(pairs)
    return random.Random(0).sample(list(pairs), MAX_VALIDATION_EXAMPLES)


def _is_over(state: dict[str, Any], total_steps: int, config: TrainingConfig) -> bool:
    """Whether a checkpoint is the last of its run: only the model is still to be written."""
    if state["global_step"] >= total_steps:
        return True
    stopping = state["stateful_callbacks"].get("EarlyStoppingCallback")
    waited = stopping["attributes"]["early_stopping_patience_counter"] if stopping else 0
    return config.early_stopping_patience is not None and waited >= config.early_stopping_patience


def _finish(
    folder: Path,
    tokenizer: Any,
    config: TrainingConfig,
    training: EncodedExamples,
    model: Any,
    tokens: int,
    seconds: float,
    progress: Progress,
) -> TrainingResult:
    """Write the model and then the result, each in one step."""
    last = checkpoints.complete_checkpoints(folder / "checkpoints")[-1]
    state = checkpoints.state_of(last)
    best_step = state["best_global_step"] or state["global_step"]
    log = [{name: value for name, value in entry.items() if name != "epoch"} for entry in state["log_history"]]
    _publish(last.with_name(f"{checkpoints.PREFIX}{best_step}"), tokenizer, folder / "model")
    result = TrainingResult(
        folder=folder,
        method=config.method,
        steps=state["global_step"],
        total_steps=progress.total_steps,
        loss=[entry["loss"] for entry in log if "loss" in entry][-1],
        validation_loss=next(
            (e["validation_loss"] for e in log if "validation_loss" in e and e["step"] == best_step), None
        ),
        best_step=best_step,
        parameters=sum(weights.numel() for weights in model.parameters()),
        trainable_parameters=sum(weights.numel() for weights in model.parameters() if weights.requires_grad),
        tokens=tokens,
        seconds=seconds,
        examples=len(training.examples),
        truncated=training.truncated,
        dropped=training.dropped,
        resumed_from=progress.resumed_from,
        log=log,
    )
    _write(folder / "result.json", result.model_dump_json(indent=1))
    return result


def _publish(checkpoint: Path, tokenizer: Any, model: Path) -> None:
    """Copy a checkpoint's weights to ``model``, with the tokenizer, under a temporary name first."""
    temporary = model.with_name(".model")
    shutil.rmtree(temporary, ignore_errors=True)
    left_out = (*NOT_PART_OF_THE_MODEL, checkpoints.MANIFEST, checkpoints.STATE)
    shutil.copytree(checkpoint, temporary, ignore=shutil.ignore_patterns(*left_out))
    tokenizer.save_pretrained(temporary)
    settings = temporary / "config.json"
    if settings.is_file():  # the Trainer switches the cache off for training
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "use_cache": True}, indent=2))
    shutil.rmtree(model, ignore_errors=True)
    temporary.replace(model)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)
