"""Fine-tune a language model on this machine, with transformers' Trainer and peft.

======================  =========================================================================
``config``              what a person sets for a run, and for a model made from scratch
``base_models``         find the model that training starts from, or make it
``tiny``, ``scratch``   the two that are made here: trained on our own text, and random weights
``training``            the run: resumable, with events, ending in a folder with the model
``progress``            the events of a run
``trainable_model``     all weights, LoRA, QLoRA
``completion_trainer``  the Trainer, for examples that are token ids
``batches``             batches of like length in an order that depends on the seed alone
``checkpoints``         which checkpoints are complete, and which are kept
``merging``             full weights of a base and its adapter
======================  =========================================================================
"""

from llmops.finetuning.base_models import ResolvedBase, resolve_base_model
from llmops.finetuning.config import ScratchRecipe, TrainingConfig
from llmops.finetuning.merging import merge_adapter
from llmops.finetuning.progress import TrainingDivergedError, TrainingEvent
from llmops.finetuning.training import TrainingResult, train

__all__ = [
    "ResolvedBase",
    "ScratchRecipe",
    "TrainingConfig",
    "TrainingDivergedError",
    "TrainingEvent",
    "TrainingResult",
    "merge_adapter",
    "resolve_base_model",
    "train",
]
