"""How similar an answer is to the nearest reference: by the edits between them, by their embeddings."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from llmops.errors import InputError
from llmops.evaluation.metrics.definitions import EmbeddingDefinition
from llmops.evaluation.metrics.import_paths import load_object
from llmops.evaluation.metrics.metric import Answers, FloatArray, Metric, mean_rows, ratio

_HASHED_FEATURES = 2**20


def _edit_rows(answers: Answers) -> FloatArray:
    from rapidfuzz.distance import Levenshtein

    return mean_rows(
        max(Levenshtein.normalized_similarity(output, reference) for reference in references)
        for output, references in zip(answers.outputs, answers.references, strict=True)
    )


def embedding_metric(name: str, definition: EmbeddingDefinition) -> Metric:
    """Cosine of an answer and the nearest reference under an encoder of one's own, -1 to 1."""
    rows = partial(_encoded_rows, name, definition.encoder)
    return Metric(name, name.replace("_", " "), "real", rows, ratio, needs_references=True)


def _encoded_rows(name: str, path: str, answers: Answers) -> FloatArray:
    texts = list(dict.fromkeys([*answers.outputs, *(text for texts in answers.references for text in texts)]))
    if not texts:
        return mean_rows([])
    vectors = _encoded(name, path, texts)
    place = {text: number for number, text in enumerate(texts)}
    pairs = _pairs(answers)
    outputs = vectors[[place[output] for output, _ in pairs]]
    references = vectors[[place[reference] for _, reference in pairs]]
    return mean_rows(_best(np.clip((outputs * references).sum(axis=1), -1.0, 1.0), answers))


def _encoded(name: str, path: str, texts: list[str]) -> FloatArray:
    """Unit vectors (n, d) of n texts."""
    encoder: Callable[[list[str]], Any] = load_object(path)
    try:
        vectors = np.asarray(encoder(texts), dtype=np.float64)
    except Exception as error:
        raise InputError(f"{name}: {path} failed on {len(texts)} texts: {type(error).__name__}: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise InputError(
            f"{name}: {path} returned an array {vectors.shape} for {len(texts)} texts; return a row of finite numbers "
            "for each text"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = vectors / np.where(lengths > 0, lengths, 1.0)
    return unit


def _hashed_rows(answers: Answers) -> FloatArray:
    pairs = _pairs(answers)
    if not pairs:
        return mean_rows([])
    hashed = _hasher()
    outputs = hashed.transform([output for output, _ in pairs])
    references = hashed.transform([reference for _, reference in pairs])
    cosines = np.asarray(outputs.multiply(references).sum(axis=1)).ravel()
    same = np.array([output == reference for output, reference in pairs])
    return mean_rows(_best(np.where(same, 1.0, np.minimum(cosines, 1.0)), answers))


@cache
def _hasher() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    # Hashing needs no vocabulary, so a score does not depend on the other answers.
    return HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=_HASHED_FEATURES, alternate_sign=False, norm="l2"
    )


def _pairs(answers: Answers) -> list[tuple[str, str]]:
    return [
        (output, reference)
        for output, references in zip(answers.outputs, answers.references, strict=True)
        for reference in references
    ]


def _best(values: FloatArray, answers: Answers) -> Sequence[float]:
    """The highest value of each answer's references."""
    starts = np.cumsum([0, *(len(references) for references in answers.references)][:-1])
    best: Sequence[float] = np.maximum.reduceat(values, starts).tolist()
    return best


SIMILARITY_METRICS = (
    Metric("edit_similarity", "edit similarity", "fraction", _edit_rows, ratio, needs_references=True, parallel=True),
    Metric(
        "embedding_similarity", "embedding similarity", "fraction", _hashed_rows, ratio,
        needs_references=True, parallel=True,
    ),
)  # fmt: skip
"""edit_similarity: 1 minus the Levenshtein distance by the length of the longer text. embedding_similarity: cosine of
hashed counts of character 2- to 4-grams."""
