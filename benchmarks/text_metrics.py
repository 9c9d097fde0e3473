"""Text metrics: ours against calling sacrebleu and rouge-score in a loop over the pairs, in the same run.

    python -m benchmarks.text_metrics [--pairs 100000] [--rounds 1] [--e2e e2e_train.parquet]

Both compute BLEU, chrF, ROUGE-1, ROUGE-2 and ROUGE-L of one output and one reference a pair. The pairs are two
descriptions of the same restaurant: from the E2E data set where its file is given, else made up here. The values are
compared one by one, and the corpus scores with the libraries' own.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow.parquet as pq
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from llmops.evaluation.metrics.measurement import build_metrics
from llmops.evaluation.metrics.metric import Answers, FloatArray
from llmops.evaluation.metrics.scoring import score

KINDS = ["rouge1", "rouge2", "rougeL"]
CORPUS = 5000
NAMES = ["bleu", "chrf", *KINDS]
ONE, TWO = "score(..., processes=1)", "score(..., processes=2)"
PLACES = ["The Phoenix", "Zizzi", "The Golden Curry", "Café Rouge", "Blue Spice", "The Eagle", "Strada"]
FOODS = ["French", "Italian", "Japanese", "Indian", "English", "Chinese", "fast"]
PRICES = ["cheap", "moderate", "£20-25", "less than £20", "more than £30", "high"]
RATINGS = ["5 out of 5", "3 out of 5", "1 out of 5", "low", "average", "excellent"]
SENTENCES = [
    "{place} is a {price} priced {food} restaurant with a {rating} customer rating, near {other} in the city centre.",
    "In the city centre, near {other}, you'll find {place}. It serves {food} food; prices {price}, ratings {rating}.",
    "{food} food at {price} prices? Try {place} by {other}: it's rated {rating} and it isn't family-friendly.",
    "Rated {rating}, the {food} place {place} near {other} offers {price} meals to families by the riverside.",
]
Pairs = tuple[list[str], list[str]]
Result = TypeVar("Result")


class Seconds(NamedTuple):
    """By the clock, and of this process's work alone, which neighbours on the machine hardly change."""

    wall: float
    cpu: float


def made_up(pairs: int) -> Pairs:
    """Descriptions from templates, two different ones of the same facts a pair."""
    draw = random.Random(0)
    outputs, references = [], []
    for _ in range(pairs):
        place, other = draw.sample(PLACES, 2)
        facts = {"place": place, "other": other, "food": draw.choice(FOODS), "price": draw.choice(PRICES)}
        one, two = draw.sample(SENTENCES, 2)
        outputs.append(one.format(rating=draw.choice(RATINGS), **facts))
        references.append(two.format(rating=draw.choice(RATINGS), **facts))
    return outputs, references


def from_e2e(path: Path, pairs: int) -> Pairs:
    """Descriptions by different people of the same restaurant."""
    texts = defaultdict(list)
    for row in pq.read_table(path, columns=["mr", "ref"]).to_pylist():
        texts[row["mr"]].append(row["ref"])
    several = [of_one for of_one in texts.values() if len(of_one) > 1]
    draw = random.Random(0)
    drawn = [draw.sample(draw.choice(several), 2) for _ in range(pairs)]
    return [one for one, _ in drawn], [two for _, two in drawn]


def by_library(outputs: Sequence[str], references: Sequence[str]) -> dict[str, FloatArray]:
    """What a loop over the pairs gives: BLEU's ten counts, chrF and the ROUGE F1s of each."""
    bleu, chrf, rouge = BLEU(effective_order=True), CHRF(), RougeScorer(KINDS, use_stemmer=False)
    values: dict[str, list[object]] = {name: [] for name in NAMES}
    for output, reference in zip(outputs, references, strict=True):
        found = bleu.sentence_score(output, [reference])
        values["bleu"].append([found.sys_len, found.ref_len, *found.counts, *found.totals])
        values["chrf"].append(chrf.sentence_score(output, [reference]).score)
        scores = rouge.score(reference, output)
        for kind in KINDS:
            values[kind].append(100 * scores[kind].fmeasure)
    return {name: np.array(found, dtype=np.float64) for name, found in values.items()}


def assert_identical(rows: dict[str, FloatArray], library: dict[str, FloatArray], pairs: Pairs) -> None:
    """Ours equals the loop pair by pair, and the corpus score of the first pairs (this and chrF to 1e-9)."""
    metrics = {metric.name: metric for metric in build_metrics(NAMES)}
    assert np.array_equal(rows["bleu"], library["bleu"])
    for kind in KINDS:
        assert np.array_equal(metrics[kind].aggregate(rows[kind]), library[kind])
    assert np.abs(metrics["chrf"].aggregate(rows["chrf"]) - library["chrf"]).max() < 1e-9
    # sacrebleu holds the n-grams of all references of a corpus at once: 40 kB a pair.
    outputs, references = pairs[0][:CORPUS], pairs[1][:CORPUS]
    for name, corpus in (("bleu", BLEU(force=True)), ("chrf", CHRF())):
        ours = float(metrics[name].aggregate(rows[name][:CORPUS].sum(axis=0)))
        assert abs(ours - corpus.corpus_score(outputs, [references]).score) < 1e-9


def timed(work: Callable[[], Result]) -> tuple[Result, Seconds]:
    """What a function returns, and the seconds it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1, help="so many times, each loop beside its own runs")
    parser.add_argument("--e2e", type=Path, default=Path("../shared/data/e2e_train.parquet"))
    given = parser.parse_args()
    pairs = from_e2e(given.e2e, given.pairs) if given.e2e.is_file() else made_up(given.pairs)
    answers = Answers(pairs[0], [[reference] for reference in pairs[1]])
    metrics = build_metrics(NAMES)
    print(f"{given.pairs:,} pairs from {given.e2e.name if given.e2e.is_file() else 'templates'}: {', '.join(NAMES)}")

    def show(name: str, took: Seconds) -> None:
        ratios = f"{loop.wall / took.wall:6.2f} times as fast by the clock"
        if name != TWO:
            ratios += f", {loop.cpu / took.cpu:5.2f} by processor time"
        print(f"  {name:36} {took.wall:7.2f} s  {ratios}", flush=True)

    for _ in range(given.rounds):
        library, loop = timed(partial(by_library, *pairs))
        show("loop over sacrebleu and rouge-score", loop)
        for name, processes in ((ONE, 1), (TWO, 2)):
            rows, took = timed(partial(score, metrics, answers, processes))
            show(name, took)
            assert_identical(rows, library, pairs)
    print("  values identical")


if __name__ == "__main__":
    main()
