"""A random-weight model of toy size, made once for all tests that train or generate."""

from pathlib import Path

import pytest

# A small task that is learnt in seconds: 5 names x 5 actions x 9 numbers.
PAIRS = [
    (f"{name} can {action} {number} times", f"{action}: {name} x{number}")
    for name in ("Ann", "Bob", "Eve", "Max", "Zoe")
    for action in ("run", "sing", "dance", "cook", "read")
    for number in range(9)
]


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    """(input, expected) pairs of the small task, every fifth pair at the end, for validation."""
    validation = PAIRS[::5]
    return [pair for pair in PAIRS if pair not in validation] + validation


@pytest.fixture(scope="session")
def toy_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 100,000 random weights with a tokenizer of the small task's text."""
    import torch

    from llmops.finetuning import ScratchRecipe, resolve_base_model

    torch.set_num_threads(1)
    recipe = ScratchRecipe(vocabulary=400, hidden=64, layers=2, heads=2, intermediate=128, positions=96)
    texts = [text for pair in PAIRS for text in pair]
    models = tmp_path_factory.mktemp("models")
    return resolve_base_model("scratch", models_dir=models, scratch=recipe, texts=texts).path


@pytest.fixture(scope="session")
def half_trained(toy_base: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model after a few epochs of the small task: it answers, and not always right."""
    from llmops.finetuning import TrainingConfig, train

    config = TrainingConfig(method="full", epochs=5, learning_rate=5e-3, batch_size=16)
    return train(toy_base, pairs[:180], [], config, tmp_path_factory.mktemp("half-trained")).model_path
