"""Vectors of tokens from the company they keep: what the embeddings of the tiny base start from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def word_vectors(documents: Sequence[Sequence[int]], vocabulary: int, width: int, seed: int) -> Floats:
    """A vector for each token, shape (vocabulary, width), in which each coordinate has mean 0 and about unit variance.

    Three eighths of the coordinates tell which tokens meet in one document (a subject), a quarter which stand beside
    the same neighbours (a part of speech, a kind of thing); both are the leading singular vectors of positive
    pointwise mutual information (Levy and Goldberg 2014, section 3.3). The rest is random and tells every token
    from every other.
    """
    from scipy import sparse

    tokens = np.concatenate([np.asarray(document) for document in documents])
    owner = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    occurs = sparse.csr_matrix((np.ones(len(tokens)), (owner, tokens)), shape=(len(documents), vocabulary))
    occurs.data[:] = 1.0
    together = (occurs.T @ occurs).toarray()
    np.fill_diagonal(together, 0.0)
    same = owner[1:] == owner[:-1]
    pairs = (tokens[:-1][same], tokens[1:][same])
    follows = sparse.csr_matrix((np.ones(len(pairs[0])), pairs), shape=(vocabulary, vocabulary)).toarray()
    beside = np.hstack([follows, follows.T])
    subjects, kinds = 3 * width // 8, width // 4
    names = np.random.default_rng(seed).standard_normal((vocabulary, width - subjects - kinds))
    return np.hstack([_leading(together, subjects, seed), _leading(beside, kinds, seed), names])


def _leading(counts: Floats, size: int, seed: int) -> Floats:
    from sklearn.utils.extmath import randomized_svd

    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    information = np.log(np.divide(counts, expected, out=np.ones_like(counts), where=counts > 0))
    left, strengths, _ = randomized_svd(np.maximum(information, 0.0), size, random_state=seed)
    vectors = left * np.sqrt(strengths)
    vectors -= vectors.mean(0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(lengths, 1e-9) * np.sqrt(size)
    return unit
