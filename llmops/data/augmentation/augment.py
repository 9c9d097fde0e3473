"""Make new training samples out of those of a batch, and say what became of every attempt."""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from llmops.data.augmentation.back_translation import ask_there_and_back, translate_there_and_back
from llmops.data.augmentation.config import AugmentationConfig, MethodConfig
from llmops.data.augmentation.filters import refusal
from llmops.data.augmentation.insertion import insert_words
from llmops.data.augmentation.paraphrase import paraphrase
from llmops.data.augmentation.synonyms import replace_synonyms
from llmops.data.augmentation.task import Method, Task, is_chosen
from llmops.data.augmentation.thesaurus import read_thesaurus
from llmops.data.augmentation.translation_model import TranslationModel
from llmops.data.augmentation.wordnet import WordNet
from llmops.data.samples import SAMPLE_SCHEMA, normalised, sample_table
from llmops.errors import InputError
from llmops.llm.text_generator import TextGenerator
from llmops.settings import settings

KnownInputs = Set[str] | Callable[[pa.ChunkedArray], np.ndarray]
"""The normalised inputs of the dataset, or which of these texts are among them (one bool each)."""

SOURCE_KEY, METHOD_KEY = "augmented_from", "augmentation"


@dataclass(frozen=True)
class Augmented:
    """New samples, and what became of all the copies that were asked for.

    Attributes:
        table: the new samples in `SAMPLE_SCHEMA`, in the order of their sources; quality is left empty.
        rejected: copies that did not come about, by reason.
        made: new samples by method; with `rejected` it adds up to the copies asked for.
    """

    table: pa.Table
    rejected: dict[str, int]
    made: dict[str, int]


@dataclass(frozen=True)
class _Candidate:
    row: int
    text: str
    method: str


class Augmenter:
    """The methods that a configuration turns on, with their dictionaries and models loaded once.

    Args:
        generators: models by the names that the configuration gives them.

    Raises:
        InputError: WordNet, a thesaurus or a translation model cannot be read, or a named model is not given.
    """

    def __init__(self, config: AugmentationConfig, generators: Mapping[str, TextGenerator] | None = None) -> None:
        self.config = config
        self._methods = _methods(config, generators or {})

    def augment(self, table: pa.Table, known_inputs: KnownInputs = frozenset()) -> Augmented:
        """Make new samples from the training samples of a batch; those of other splits are not touched.

        The result is the same however a dataset is cut into batches. Only `input` differs from the source; the
        metadata gains ``augmented_from`` (the source's id) and ``augmentation`` (the method).
        """
        train = table.filter(pc.fill_null(pc.equal(table["split"], "train"), True)).select(SAMPLE_SCHEMA.names)
        rejected: Counter[str] = Counter()
        candidates: list[_Candidate] = []
        if self._methods and len(train):
            reasons = _left_alone(train)
            for name, (settings_of, method) in self._methods.items():
                candidates += self._candidates(train, reasons, name, settings_of, method, rejected)
        kept = _without_known(_without_repeats(candidates, rejected), known_inputs, rejected)
        kept.sort(key=lambda candidate: candidate.row)
        made = Counter(candidate.method for candidate in kept)
        return Augmented(_new_samples(train, kept), dict(sorted(rejected.items())), dict(sorted(made.items())))

    def _candidates(
        self,
        train: pa.Table,
        reasons: list[str | None],
        name: str,
        settings_of: MethodConfig,
        method: Method,
        rejected: Counter[str],
    ) -> list[_Candidate]:
        """What one method makes of the batch and the filters let through."""
        texts, answers = train["input"].to_pylist(), train["expected"].to_pylist()
        rows, tasks = [], []
        for row, sample in enumerate(train["id"].to_pylist()):
            key = f"{self.config.seed} {name} {sample}"
            if not is_chosen(key, settings_of.share):
                continue
            if reason := reasons[row]:
                rejected[reason] += settings_of.copies
                continue
            rows += [row] * settings_of.copies
            tasks += [Task(texts[row], answers[row], copy, f"{key} {copy}") for copy in range(settings_of.copies)]
        found = []
        for row, task, text in zip(rows, tasks, method(tasks), strict=True):
            if text is None:
                rejected["nothing to change"] += 1
            elif reason := refusal(task.text, text, task.expected, self.config.filters):
                rejected[reason] += 1
            else:
                found.append(_Candidate(row, text, name))
        return found


def _methods(
    config: AugmentationConfig, generators: Mapping[str, TextGenerator]
) -> dict[str, tuple[MethodConfig, Method]]:
    methods: dict[str, tuple[MethodConfig, Method]] = {}
    if (synonyms := config.synonyms).share:
        dictionary = (
            read_thesaurus(synonyms.thesaurus)
            if synonyms.thesaurus
            else WordNet.load(synonyms.wordnet, settings().home)
        )
        methods["synonyms"] = synonyms, partial(replace_synonyms, dictionary=dictionary, share=synonyms.words)
    if (insertion := config.insertion).share:
        methods["insertion"] = insertion, partial(insert_words, config=insertion)
    if (rewording := config.paraphrase).share:
        model = _generator(rewording.model, generators)
        methods["paraphrase"] = rewording, partial(paraphrase, config=rewording, model=model)
    if (translation := config.back_translation).share:
        if translation.there and translation.back:
            there, back = TranslationModel.load(translation.there), TranslationModel.load(translation.back)
            both_ways: Method = partial(translate_there_and_back, config=translation, there=there, back=back)
        else:
            model = _generator(translation.model, generators)
            both_ways = partial(ask_there_and_back, config=translation, model=model)
        methods["back_translation"] = translation, both_ways
    return methods


def _generator(name: str | None, generators: Mapping[str, TextGenerator]) -> TextGenerator:
    if name is None or name not in generators:
        given = ", ".join(sorted(generators)) or "none"
        raise InputError(f"augmentation asks for the model {name!r}, which was not given (given: {given})")
    return generators[name]


def _left_alone(train: pa.Table) -> list[str | None]:
    """Why a sample is never changed: a conversation, whose input is derived, or itself made by augmentation."""
    conversation = train["messages"].is_valid().to_pylist()
    metadata = train["metadata"].to_pylist()
    return [
        "conversation" if held else "augmented before" if any(key == METHOD_KEY for key, _ in pairs or ()) else None
        for held, pairs in zip(conversation, metadata, strict=True)
    ]


def _without_repeats(candidates: list[_Candidate], rejected: Counter[str]) -> list[_Candidate]:
    # Among the copies of one sample only: what another sample gave may lie in another batch.
    texts = normalised(pa.chunked_array([[candidate.text for candidate in candidates]], pa.string())).to_pylist()
    seen: set[tuple[int, str]] = set()
    kept = []
    for candidate, text in zip(candidates, texts, strict=True):
        if (candidate.row, text) in seen:
            rejected["repeat"] += 1
        else:
            seen.add((candidate.row, text))
            kept.append(candidate)
    return kept


def _without_known(candidates: list[_Candidate], known_inputs: KnownInputs, rejected: Counter[str]) -> list[_Candidate]:
    texts = pa.chunked_array([[candidate.text for candidate in candidates]], pa.string())
    if callable(known_inputs):
        known = np.asarray(known_inputs(texts), dtype=bool)
    else:
        known = np.array([text in known_inputs for text in normalised(texts).to_pylist()], dtype=bool)
    if known.any():
        rejected["already in the dataset"] += int(known.sum())
    return [candidate for candidate, is_known in zip(candidates, known, strict=True) if not is_known]


def _new_samples(train: pa.Table, kept: list[_Candidate]) -> pa.Table:
    parents = train.take(pa.array([candidate.row for candidate in kept], pa.int64()))
    keys = {key for pairs in parents["metadata"].to_pylist() for key, _ in pairs or ()}
    metadata = {key: pc.map_lookup(parents["metadata"], key, "first") for key in keys}
    metadata[SOURCE_KEY] = parents["id"]
    metadata[METHOD_KEY] = pa.chunked_array([[candidate.method for candidate in kept]], pa.string())
    made = sample_table(
        input=pa.chunked_array([[candidate.text for candidate in kept]], pa.string()),
        expected=parents["expected"],
        context=parents["context"],
        metadata=metadata,
        group=parents["group"],
    )
    split = pa.array(["train"] * len(made), pa.string())
    return made.set_column(made.schema.get_field_index("split"), SAMPLE_SCHEMA.field("split"), split)
