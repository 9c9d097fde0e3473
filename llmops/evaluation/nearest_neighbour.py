"""The baseline that copies: answer each prompt with the completion of the most similar training prompt.

A model that does not beat it has learnt to look up, not to generalise.
"""

from collections.abc import Sequence

import numpy as np

from llmops.errors import InputError

CELLS = 20_000_000  # similarities held at a time (80 MB)


def copy_nearest(train_inputs: Sequence[str], train_expected: Sequence[str], inputs: Sequence[str]) -> list[str]:
    """For each input the completion of the nearest training prompt, by cosine of TF-IDF.

    Words and pairs of words, and character 3-grams within words for spellings and numbers. Among equally
    near prompts, and among completions of one prompt, the first counts. Raises InputError without training
    prompts or with a completion for only some of them.

    >>> copy_nearest(["open the door", "close the window"], ["opened", "closed"], ["please open that door"])
    ['opened']
    """
    if not train_inputs or len(train_inputs) != len(train_expected):
        raise InputError(
            f"{len(train_inputs)} training prompts with {len(train_expected)} completions; "
            "give one completion for each, and at least one"
        )
    first: dict[str, str] = {}
    for prompt, completion in zip(train_inputs, train_expected, strict=True):
        first.setdefault(prompt, completion)
    asked = list(dict.fromkeys(inputs))
    nearest = dict(zip(asked, _nearest(list(first), asked), strict=True))
    completions = list(first.values())
    return [completions[nearest[text]] for text in inputs]


def _nearest(prompts: list[str], asked: list[str]) -> list[int]:
    """For each text asked the place of the most similar prompt."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import
    from sklearn.pipeline import make_union

    if not asked:
        return []
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", dtype=np.float32, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), dtype=np.float32, sublinear_tf=True),
    )
    known = features.fit_transform(prompts).T.tocsr()
    texts = features.transform(asked).tocsr()
    batch = max(1, CELLS // len(prompts))
    found: list[int] = []
    for start in range(0, len(asked), batch):
        # Both parts have unit length, so that the dot product orders as the cosine does.
        similarity = (texts[start : start + batch] @ known).toarray()
        found += similarity.argmax(axis=1).tolist()
    return found
