"""Which methods make how many new samples, and how far those may be from their source."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class MethodConfig(BaseModel):
    """What every method has: how many samples it makes. A method with share 0 is off."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(default=0.0, ge=0, le=1, description="Share of the training samples that get copies.")
    copies: int = Field(default=1, ge=1, le=100, description="Copies to try for each of them.")


class SynonymConfig(MethodConfig):
    """Replace words by synonyms."""

    words: float = Field(default=0.2, gt=0, le=1, description="Share of the words to replace; at least one.")
    thesaurus: Path | None = Field(
        default=None, description="A YAML, CSV or TSV file of words and their synonyms, used instead of WordNet."
    )
    wordnet: Path | None = Field(
        default=None, description="A folder of NLTK data or of WordNet's dictionary files, where it is not found."
    )


class InsertionConfig(MethodConfig):
    """Put a word into the input that adds nothing to it."""

    adverbs: tuple[str, ...] = Field(
        default=("actually", "really"),
        min_length=1,
        description="Inserted between a pronoun and its verb: 'I actually bought'.",
    )
    politeness: tuple[str, ...] = Field(
        default=("please", "kindly"), description="Inserted after 'can you', 'could you' and the like."
    )


class ModelMethodConfig(MethodConfig):
    """A method that asks a model for its texts."""

    model: str | None = Field(default=None, description="Name of the model to ask.")
    max_new_tokens: int = Field(default=256, ge=1, description="Longest answer, in tokens.")


def _require_text(prompt: str) -> str:
    if "{text}" not in prompt:
        raise ValueError(f"the prompt {prompt!r} has no place for the input; put {{text}} into it")
    return prompt


class ParaphraseConfig(ModelMethodConfig):
    """Let a model say the input in other words; each copy of a sample takes the next prompt."""

    prompts: tuple[str, ...] = Field(
        default=(
            "Rewrite the text in other words. Keep its meaning, its language, and every name, number and "
            "placeholder exactly as they are. Answer with the rewritten text only.\n\n{text}",
            "Rewrite the text as another person would say it. Keep its meaning, its language, and every name, "
            "number and placeholder exactly as they are. Answer with the rewritten text only.\n\n{text}",
        ),
        min_length=1,
        description="With {text} where the input goes.",
    )

    @field_validator("prompts")
    @classmethod
    def _have_text(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_require_text(prompt) for prompt in prompts)

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.share and self.model is None:
            raise ValueError("paraphrase is on but no model is named; set paraphrase.model")
        return self


class BackTranslationConfig(ModelMethodConfig):
    """Translate the input into another language and back, by a model that is asked or by two translation models.

    Each copy of a sample takes the next language; translation models know one language only.
    """

    language: str = Field(default="English", description="The language of the inputs, as the prompt names it.")
    through: tuple[str, ...] = Field(
        default=("German", "French", "Spanish"), min_length=1, description="The languages in between."
    )
    prompt: str = Field(
        default="Translate the text into {language}. Keep every name, number and placeholder exactly as they are. "
        "Answer with the translation only.\n\n{text}",
        description="With {text} where the text goes and {language} where the language to translate into goes.",
    )
    there: Path | None = Field(default=None, description="Folder of a translation model (such as Marian).")
    back: Path | None = Field(default=None, description="Folder of one that translates the other way.")

    @field_validator("prompt")
    @classmethod
    def _has_places(cls, prompt: str) -> str:
        if "{language}" not in prompt:
            raise ValueError(f"the prompt {prompt!r} has no place for the language; put {{language}} into it")
        return _require_text(prompt)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.there is None) != (self.back is None):
            raise ValueError("back-translation needs a translation model for each direction; set both there and back")
        if self.share and (self.model is None) == (self.there is None):
            raise ValueError("back-translation is on; set either its model, or there and back")
        return self


class FilterConfig(BaseModel):
    """How far a new input may be from its source; what must survive is not negotiable."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    similarity: tuple[float, float] = Field(
        default=(0.25, 1.0),
        description="Lowest and highest share of words in common (Jaccard index of the two bags of words).",
    )
    length_ratio: tuple[float, float] = Field(
        default=(0.5, 2.0), description="Lowest and highest number of words, as a multiple of the source's."
    )

    @field_validator("similarity", "length_ratio")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= bounds[0] <= bounds[1]:
            raise ValueError(f"the bounds {bounds[0]:g} and {bounds[1]:g} are negative or the wrong way round")
        return bounds


class AugmentationConfig(BaseModel):
    """How the training split is augmented; nothing happens by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    synonyms: SynonymConfig = SynonymConfig()
    insertion: InsertionConfig = InsertionConfig()
    paraphrase: ParaphraseConfig = ParaphraseConfig()
    back_translation: BackTranslationConfig = BackTranslationConfig()
    filters: FilterConfig = FilterConfig()
    seed: int = 0

    @property
    def active(self) -> bool:
        """Whether any method is on.

        >>> AugmentationConfig().active, AugmentationConfig(synonyms=SynonymConfig(share=0.5)).active
        (False, True)
        """
        methods = (self.synonyms, self.insertion, self.paraphrase, self.back_translation)
        return any(method.share > 0 for method in methods)
