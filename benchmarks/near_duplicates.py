"""Near duplicates: ours against datasketch's MinHash and MinHashLSH used straightforwardly, over the same shingles.

    python -m benchmarks.near_duplicates [--rows 100000] [--datasketch-rows 20000] [--million]

The texts have 60 words of a vocabulary of 20,000 with Zipf's frequencies; every twentieth is a twin of another with one
to four words replaced. Both look for the pairs whose sets of word 3-shingles have a Jaccard index of at least 0.8, and
both verify their candidates exactly. The recall is of the planted pairs that truly reach it, counted in plain Python.
datasketch has 128 permutations, as it has by default, and one process; ours runs in one thread here.

With --million: the keys, exact and near, of a million rows of 40 words in and 20 out, in batches by two threads.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pyarrow as pa

from llmops.data.duplicates.deduplication import distinct, text_keys
from llmops.data.duplicates.near_duplicates import (
    DuplicateConfig,
    band_keys,
    near_twins,
    similar_pairs,
    twin_pairs,
    whole_texts,
)

WORDS, VOCABULARY = 60, 20_000
INPUT_WORDS = 40
THRESHOLD = 0.8
TWINS = 0.05
BATCH = 16_384
Pairs = set[tuple[int, int]]


def word_numbers(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The words of each text by number, and the planted pairs (one row each, the smaller number first)."""
    random = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    chosen = random.choice(VOCABULARY, (rows, WORDS), p=frequency / frequency.sum()).astype(np.int32)
    mixed = random.permutation(rows)
    twins = int(rows * TWINS)
    copies, originals = mixed[:twins], mixed[twins : 2 * twins]
    chosen[copies] = chosen[originals]
    for copy in copies:
        chosen[copy, random.choice(WORDS, random.integers(1, 5), replace=False)] = random.integers(0, VOCABULARY)
    return chosen, np.sort(np.column_stack([copies, originals]), axis=1)


@cache
def vocabulary() -> np.ndarray:
    """Made-up words of two to eight letters."""
    random = np.random.default_rng(1)
    letters = "aeioubcdfghklmnprst"
    drawn = random.integers(0, len(letters), (VOCABULARY, 8)).tolist()
    lengths = random.integers(2, 9, VOCABULARY).tolist()
    words = ["".join(letters[one] for one in word[:size]) for word, size in zip(drawn, lengths, strict=True)]
    return np.array(words, dtype=object)


def sentences(chosen: np.ndarray) -> list[str]:
    """Texts out of word numbers."""
    return [" ".join(row) for row in vocabulary()[chosen]]


def shingle_set(text: str) -> set[tuple[str, ...]]:
    """The word 3-shingles of a text, in plain Python."""
    words = text.split()
    return set(zip(words, words[1:], words[2:], strict=False))


def jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    """Shared shingles by all shingles."""
    return len(left & right) / len(left | right)


def with_ours(texts: list[str]) -> Pairs:
    """Similar pairs by this library."""
    column = pa.chunked_array([texts])
    config = DuplicateConfig(threshold=THRESHOLD)
    bands = band_keys(column, config)
    found = similar_pairs(bands, lambda rows: column.take(pa.array(rows)), config)
    return set(zip(found.left.tolist(), found.right.tolist(), strict=True))


def with_datasketch(texts: list[str]) -> Pairs:
    """Similar pairs by datasketch, as its documentation shows it, the candidates verified."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    sets = [shingle_set(text) for text in texts]
    found: Pairs = set()
    for number, shingles in enumerate(sets):
        signature = MinHash(num_perm=128)
        signature.update_batch([" ".join(shingle).encode() for shingle in shingles])
        found |= {(one, number) for one in index.query(signature) if jaccard(sets[one], shingles) >= THRESHOLD}
        index.insert(number, signature)
    return found


def compare(rows: int, finders: dict[str, Callable[[list[str]], Pairs]]) -> None:
    """Print the time and the recall of each, over the same texts."""
    chosen, planted = word_numbers(rows)
    texts = sentences(chosen)
    true = {
        (one, other)
        for one, other in planted.tolist()
        if jaccard(shingle_set(texts[one]), shingle_set(texts[other])) >= THRESHOLD
    }
    seconds = {}
    for name, find in finders.items():
        began = time.perf_counter()
        found = find(texts)
        seconds[name] = time.perf_counter() - began
        share = len(found & true) / len(true)
        print(f"{name:>10}: {rows:,} texts in {seconds[name]:.2f} s, recall {share:.2%} of {len(true):,} true pairs")
    if len(seconds) > 1:
        print(f"            ours is {seconds['datasketch'] / seconds['ours']:.0f} times faster")


def million(rows: int = 1_000_000) -> None:
    """Print the seconds of all near-duplicate work over a million rows."""
    config = DuplicateConfig(threshold=THRESHOLD)
    chosen, _ = word_numbers(rows)
    samples = pa.Table.from_batches(list(_batches(chosen)))
    del chosen
    began, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(2) as pool:
        keys = list(pool.map(lambda batch: _keys_of(batch, config), samples.to_batches(BATCH)))
    whole, inputs, expected, input_keys = (np.concatenate(parts) for parts in zip(*keys, strict=True))
    signed = time.perf_counter()
    whole_text = whole_texts(samples)
    twins = twin_pairs(
        whole,
        lambda some: whole_text.take(pa.array(some)),
        [
            (input_keys, lambda some: samples["input"].take(pa.array(some))),
            (expected, lambda some: samples["expected"].take(pa.array(some))),
        ],
        config,
    )
    dropped = near_twins(twins, np.arange(rows))
    left = np.delete(np.arange(rows), dropped.rows)
    paired = time.perf_counter()
    similar = similar_pairs(
        inputs, lambda some: samples["input"].take(pa.array(some)), config, distinct(input_keys, left)
    )
    done = time.perf_counter()
    used, peak = time.process_time() - processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{rows:,} rows: band keys of both kinds {signed - began:.1f} s in two threads, twins {paired - signed:.1f} s "
        f"({len(dropped):,} found), similar inputs {done - paired:.1f} s ({len(similar):,} pairs): "
        f"{done - began:.1f} s ({used:.1f} s of processor); {(whole.nbytes + inputs.nbytes) / 2**20:.0f} MiB of band "
        f"keys, peak {peak:.1f} GiB with all texts in memory"
    )


def _batches(chosen: np.ndarray) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        texts = [sentences(part[:, :INPUT_WORDS]), sentences(part[:, INPUT_WORDS:])]
        nothing = pa.nulls(len(part), pa.string())
        yield pa.record_batch([*texts, nothing, nothing], names=["input", "expected", "context", "messages"])


def _keys_of(batch: pa.RecordBatch, config: DuplicateConfig) -> tuple[np.ndarray, ...]:
    whole, inputs = band_keys(whole_texts(batch), config), band_keys(batch["input"], config)
    return whole, inputs, text_keys(batch["expected"]), text_keys(batch["input"])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--datasketch-rows", type=int, default=20_000)
    parser.add_argument("--million", action="store_true")
    options = parser.parse_args()
    with_ours(sentences(word_numbers(100)[0]))  # tables are made and modules imported at the first use
    if options.datasketch_rows < options.rows:
        compare(options.rows, {"ours": with_ours})
    compare(min(options.rows, options.datasketch_rows), {"ours": with_ours, "datasketch": with_datasketch})
    if options.million:
        million()


if __name__ == "__main__":
    main()
