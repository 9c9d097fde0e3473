"""transformers' Trainer for (prompt, completion) examples that are already token ids.

Imports torch and transformers when it is imported, which takes seconds: import it inside the function that
trains.
"""

import functools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from llmops.finetuning import checkpoints
from llmops.finetuning.batches import Example, LengthGroupedBatches, collate
from llmops.finetuning.config import TrainingConfig
from llmops.finetuning.trainable_model import trains_in_bfloat16
from llmops.llm.adapter_base import note_base_quantization

KEPT_CHECKPOINTS = 2
TIMES_MEASURED = 10  # checkpoints and validation losses in a run, unless the configuration says otherwise
LOGGED_POINTS = 30  # points of the loss curve of a short run; a long one has a point every ten steps


class CompletionTrainer(Trainer):  # type: ignore[misc]
    """A Trainer with its own batch order, an exact validation loss, and a log that measures its speed.

    It differs from its parent in four places: the batches of the whole run are one sequence, so that a
    resumed run skips what it has seen; the validation loss is the mean over tokens, not over batches; each
    entry of the log carries the speed since the one before; and ``on_log`` gets every entry after it is in
    the history.
    """

    control: Any  # set by the parent

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        config: TrainingConfig,
        training: list[Example],
        validation: list[Example],
        pad_token_id: int,
        on_log: Callable[[int, dict[str, float]], None],
    ) -> None:
        callbacks: list[TrainerCallback] = [_CompleteCheckpoints()]
        if config.early_stopping_patience:
            callbacks.append(EarlyStoppingCallback(config.early_stopping_patience))
        self.tokens_seen = 0
        self.started = time.perf_counter()
        self.on_log = on_log
        self._collate = functools.partial(collate, pad_token_id=pad_token_id)
        self._batches = LengthGroupedBatches(
            [len(ids) for ids, _ in training],
            config.batch_size,
            total=arguments.max_steps * config.gradient_accumulation,
            seed=config.seed,
        )
        self._logged_at, self._logged_tokens = self.started, 0
        super().__init__(model, arguments, train_dataset=training, eval_dataset=validation or None, callbacks=callbacks)
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Example]:
        """The batches of the whole run, which the Trainer takes for one long epoch."""
        self.started = self._logged_at = time.perf_counter()
        return DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self._collate_counting)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The validation loss: negative log-likelihood in nats per completion token, whatever the batches."""
        nll, tokens = 0.0, 0
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            for batch in _validation_batches(self.eval_dataset, self.args.per_device_eval_batch_size):
                inputs = self._prepare_inputs(self._collate(batch))
                count = int((inputs["labels"] != -100).sum())
                nll += float(self.model(**inputs).loss) * count
                tokens += count
        metrics = {"eval_loss": nll / tokens}
        self.log({"validation_loss": metrics["eval_loss"]})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the speed since the last entry, keep the entry, and hand it on."""
        if "train_runtime" in logs:  # the Trainer's own summary at the end of a run
            return
        if "loss" in logs:
            now = time.perf_counter()
            logs["tokens_per_second"] = (self.tokens_seen - self._logged_tokens) / (now - self._logged_at)
            self._logged_at, self._logged_tokens = now, self.tokens_seen
        super().log(logs, start_time)
        self.on_log(self.state.global_step, self.state.log_history[-1])

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: walking over all parameters in every step slows a small model down."""
        return 0

    def _collate_counting(self, examples: Sequence[Example]) -> dict[str, Any]:
        self.tokens_seen += sum(len(ids) for ids, _ in examples)
        return self._collate(examples)


class _CompleteCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Marks each checkpoint when all its files are there, and removes the ones that are no longer needed."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, model: Any, **_: Any) -> None:
        folder = Path(args.output_dir)
        checkpoint = folder / f"{checkpoints.PREFIX}{state.global_step}"
        note_base_quantization(model, checkpoint)
        checkpoints.mark_complete(checkpoint)
        checkpoints.keep_newest(folder, KEPT_CHECKPOINTS, state.best_global_step)


def training_arguments(config: TrainingConfig, folder: Path, total_steps: int, validate: bool) -> TrainingArguments:
    """The Trainer's arguments for a run of ``total_steps`` whose checkpoints lie in ``folder``.

    With early stopping a checkpoint is taken at each evaluation, so that the best weights are always kept.
    """
    a_tenth = math.ceil(total_steps / TIMES_MEASURED)
    eval_steps = config.eval_steps or a_tenth
    early_stopping = config.early_stopping_patience is not None
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=total_steps,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
        warmup_steps=int(config.warmup_ratio * total_steps),
        weight_decay=config.weight_decay,
        bf16=trains_in_bfloat16(),
        logging_strategy="steps",
        logging_steps=max(1, min(10, total_steps // LOGGED_POINTS)),
        logging_first_step=True,
        # It costs a wait for the device in every step and hides a run that diverges.
        logging_nan_inf_filter=False,
        eval_strategy="steps" if validate else "no",
        eval_steps=eval_steps if validate else None,
        metric_for_best_model="eval_loss" if early_stopping else None,
        greater_is_better=False if early_stopping else None,
        save_strategy="steps",
        save_steps=eval_steps if early_stopping else (config.checkpoint_steps or a_tenth),
        restore_callback_states_from_checkpoint=True,
        seed=config.seed,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # one GPU: torch's DataParallel over several is slower than one
    return arguments


def _validation_batches(examples: list[Example], size: int) -> list[list[Example]]:
    ordered = sorted(examples, key=lambda example: len(example[0]))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
