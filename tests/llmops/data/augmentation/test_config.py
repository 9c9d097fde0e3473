"""Settings that contradict themselves are refused with the way out."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from llmops.data.augmentation import (
    AugmentationConfig,
    BackTranslationConfig,
    FilterConfig,
    ParaphraseConfig,
    SynonymConfig,
)


def test_off_by_default() -> None:
    assert not AugmentationConfig().active
    assert AugmentationConfig(synonyms=SynonymConfig(share=0.1)).active


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ParaphraseConfig(prompts=("Rewrite it",)), "put {text} into it"),
        (lambda: ParaphraseConfig(share=0.5), "set paraphrase.model"),
        (lambda: BackTranslationConfig(prompt="Translate {text}"), "put {language} into it"),
        (lambda: BackTranslationConfig(share=0.5), "set either its model, or there and back"),
        (lambda: BackTranslationConfig(there=Path("a")), "set both there and back"),
        (lambda: BackTranslationConfig(share=1, model="m", there=Path("a"), back=Path("b")), "set either"),
        (lambda: FilterConfig(similarity=(0.9, 0.1)), "the wrong way round"),
        (lambda: SynonymConfig(share=1.5), "less than or equal to 1"),
    ],
)
def test_refused(build: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("(", r"\(").replace("{", r"\{").replace("}", r"\}")):
        build()  # type: ignore[operator]
