"""Two hundred faults of fifteen kinds planted in real data: each is found, and the rows around it are left alone."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmops.data.samples import sample_table
from llmops.data.validation.checks import ValidationConfig, dataset_hits, row_facts, row_hits

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
Pair = tuple[str, str]

FOREIGN = [
    "Wann kommt meine neue Karte endlich bei mir an? Ich warte schon seit zwei Wochen.",
    "Ich habe drei Äpfel und kaufe noch fünf dazu. Wie viele Äpfel habe ich jetzt?",
    "Pourquoi mon virement n'est-il pas encore arrivé sur le compte de ma sœur ?",
    "¿Cómo puedo cambiar el PIN de mi tarjeta si estoy en el extranjero?",
    "Maria ha dodici caramelle e ne regala la metà a suo fratello. Quante caramelle le restano?",
    "Por que a minha transferência ainda não foi concluída?",
    "Waarom is er geld van mijn rekening gehaald zonder dat ik het wist?",
    "Dlaczego moja karta nie działa w bankomacie i gdzie mogę to zgłosić?",
    "Varför har jag inte fått mitt kort än, och hur länge måste jag vänta?",
    "Где моя новая карта и почему она ещё не пришла?",
    "为什么我的银行卡还没有寄到？",
    "لماذا لم تصل بطاقتي الجديدة حتى الآن؟",
    "カードがまだ届かないのはなぜですか。",
]
MODEL_WORDS = [
    "As an AI language model, I do not have a bank account of my own.",
    "I'm sorry, but I can't assist with that request.",
    "I cannot help with that.",
    "Sure! Here's a more concise version of your question: how do I pay?",
    "Certainly! Here is the step-by-step solution you asked for.",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "Dear [insert customer name], thank you for your patience.",
    "TODO: write this answer",
    "That should do it. Let me know if you have any other questions!",
]
ABROAD = ["the café on the corner", "Señor Muñoz", "a flat in Zürich", "it’s “urgent”", "about €40 – or £35"]


def _insert(text: str, piece: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + piece + text[place:]


def _either(pair: Pair, change: Callable[[str], str], rng: random.Random) -> Pair:
    return (change(pair[0]), pair[1]) if rng.random() < 0.5 else (pair[0], change(pair[1]))


def _beside(text: str, piece: str, rng: random.Random) -> str:
    return f"{text} {piece}" if rng.random() < 0.5 else f"{piece} {text}"


def nul(pair: Pair, rng: random.Random) -> Pair:
    return _either(pair, lambda text: _insert(text, "\0", rng), rng)


def control(pair: Pair, rng: random.Random) -> Pair:
    sign = rng.choice(["\b", "\x1b", "\f", "\x9d", "\u00ad", "\u200b", "\u202e", "\u2066", "\ufeff"])
    return _either(pair, lambda text: _insert(text, sign, rng), rng)


def misread(pair: Pair, rng: random.Random) -> Pair:
    encoded = _beside(pair[0], rng.choice(ABROAD), rng).encode()
    encoding, errors = rng.choice([("cp1252", "replace"), ("latin-1", "strict"), ("mac-roman", "strict")])
    return (encoded.decode(encoding, errors) if rng.random() < 0.7 else encoded.decode("ascii", "replace"), pair[1])


def cut(pair: Pair, rng: random.Random) -> Pair:
    def shorten(text: str) -> str:
        while True:
            left = text[: int(len(text) * rng.uniform(0.3, 0.9))].rstrip()
            if left[-1] not in ".?!\"'":  # what ends in a full stop is a complete, if shorter, text
                return left

    return _either(pair, shorten, rng)


def model_words(pair: Pair, rng: random.Random) -> Pair:
    words = rng.choice(MODEL_WORDS)
    return pair[0], rng.choice([words, f"{words}\n{pair[1]}" if not words.endswith("!") else f"{pair[1]}\n{words}"])


def loop(pair: Pair, rng: random.Random) -> Pair:
    words = pair[0].split()
    size = rng.choice([1, 2, 4, 8, len(words)])
    start = rng.randrange(max(len(words) - size, 0) + 1)
    unit = " " + " ".join(words[start : start + size])
    turns = max(rng.randint(5, 15), 60 // len(unit))
    text = pair[0] + unit * turns
    return text[: len(text) - rng.randrange(len(unit))], pair[1]


def luhn(digits: str) -> str:
    for check in "0123456789":
        number = [int(digit) for digit in digits + check]
        for place in range(len(number) - 2, -1, -2):
            number[place] = sum(map(int, str(number[place] * 2)))
        if sum(number) % 10 == 0:
            return digits + check
    raise AssertionError


def iban(country: str, account: str) -> str:
    for check in range(2, 99):
        moved = f"{account}{country}{check:02d}"
        if int("".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(sign)) for sign in moved)) % 97 == 1:
            return f"{country}{check:02d}{account}"
    raise AssertionError


def person(pair: Pair, rng: random.Random) -> Pair:
    def digits(count: int) -> str:
        return "".join(rng.choices("0123456789", k=count))

    card = luhn((rng.choice(["4", "51", "55"]) + digits(14))[:15])
    account = iban("DE", digits(18))
    piece = rng.choice(
        [
            f"you can write to {rng.choice(['olga', 'ravi.k', 'm_bauer', 'j-p'])}{digits(2)}@mail.example.co.uk",
            f"my number is +49 30 {rng.randint(2, 9)}{digits(3)} {digits(4)}",
            f"call me on (0161) 496 0{digits(3)}",
            f"reach me at 415-555-0{digits(3)}",
            f"it is card {' '.join(card[place : place + 4] for place in range(0, 16, 4))}",
            f"card no. {card}",
            f"the IBAN is {account}",
            f"pay to {' '.join(account[place : place + 4] for place in range(0, 22, 4))}",
            f"I logged in from 81.{rng.randint(2, 250)}.{rng.randint(2, 250)}.{rng.randint(2, 250)}",
            f"my SSN is {rng.randint(100, 599)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}",
        ]
    )
    return _beside(pair[0], piece, rng), pair[1]


def secret(pair: Pair, rng: random.Random) -> Pair:
    def token(count: int, signs: str = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") -> str:
        return "".join(rng.choices(signs, k=count))

    piece = rng.choice(
        [
            f"AKIA{token(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}",
            f"ghp_{token(36)}",
            f"OPENAI_API_KEY=sk-proj-{token(40)}",
            f"xoxb-{token(12, '0123456789')}-{token(24)}",
            f"-----BEGIN RSA PRIVATE KEY-----\n{token(60)}",
            f"password: {token(6)}!{token(3)}",
            f'"client_secret": "{token(32)}"',
            f"Authorization: Bearer {token(40)}",
            f"postgres://admin:{token(12)}@db.internal:5432/prod",
        ]
    )
    return _either(pair, lambda text: _beside(text, piece, rng), rng)


def misspelt(pair: Pair, rng: random.Random) -> Pair:
    label = pair[1]
    place = rng.randrange(2, len(label) - 2)
    variants = [
        label.replace("_", " ").title() + ".",
        label.upper(),
        label[:place] + label[place + 1 :],
        label[:place] + label[place] + label[place:],
        label[: -rng.randint(2, 4)],
    ]
    return pair[0], rng.choice(variants)


def foreign(pair: Pair, rng: random.Random) -> Pair:
    return rng.choice(FOREIGN), pair[1]


RULES: dict[str, Callable[[Pair, random.Random], Pair]] = {
    "empty-input": lambda pair, rng: (rng.choice(["", " ", "\n\t", "\u3000"]), pair[1]),
    "empty-expected": lambda pair, rng: (pair[0], rng.choice(["", "  ", "\n"])),
    "nul-character": nul,
    "control-character": control,
    "encoding-damage": misread,
    "boilerplate": model_words,
    "repetition": loop,
    "personal-data": person,
    "secret": secret,
    "language-mix": foreign,
    "truncated-text": cut,
    "label-spelling": misspelt,
}


def planted(pairs: list[Pair], rules: list[str], count: int, seed: int) -> tuple[list[Pair], dict[int, str]]:
    """The rows with `count` faults, and the rule that must find each, by row."""
    faults: dict[int, str]
    rng = random.Random(seed)
    pairs, faults = list(pairs), {}
    rows = rng.sample(range(len(pairs)), count)
    clean = [pair for row, pair in enumerate(pairs) if row not in set(rows)]
    for number, row in enumerate(rows):
        rule = faults[row] = rules[number % len(rules)]
        if rule == "length-outlier":
            others = rng.sample(clean, rng.randint(15, 30))
            pairs[row] = (" ".join(text for text, _ in others), pairs[row][1])
        elif rule == "too-many-tokens":
            others = rng.sample(clean, 250)
            pairs[row] = ("\n".join(text for text, _ in others), pairs[row][1])
        elif rule == "label-conflict":
            other = rng.choice([pair for pair in clean if pair[1] != pairs[row][1]])
            pairs[row] = (other[0], pairs[row][1])
        else:
            pairs[row] = RULES[rule](pairs[row], rng)
    return pairs, faults


BOTH = ["empty-input", "empty-expected", "nul-character", "control-character", "encoding-damage", "boilerplate"]
BOTH += ["repetition", "personal-data", "secret", "language-mix", "length-outlier", "too-many-tokens"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("file", "columns", "rules"),
    [
        # Of customers' messages many have no full stop: what was cut off cannot be told from what ends so.
        ("banking77_train.parquet", ("text", "category"), [*BOTH, "label-conflict", "label-spelling"]),
        ("gsm8k_train.parquet", ("question", "answer"), [*BOTH, "truncated-text"]),
    ],
)
def test_planted_faults_are_found_and_clean_rows_are_left_alone(
    file: str, columns: tuple[str, str], rules: list[str], seed: int
) -> None:
    if not (SHARED / file).is_file():
        pytest.skip(f"public data file {file} is not on this machine")
    source = pq.read_table(SHARED / file)
    pairs = list(zip(source[columns[0]].to_pylist(), source[columns[1]].to_pylist(), strict=True))
    pairs, faults = planted(pairs, rules, 100, seed)
    texts = [pa.chunked_array([list(column)], pa.string()) for column in zip(*pairs, strict=True)]
    batch = sample_table(input=texts[0], expected=texts[1])
    config = ValidationConfig(max_tokens=1_500)
    found: dict[int, set[str]] = {}
    for hits in [*row_hits(batch, config), *dataset_hits(row_facts(batch), config)]:
        for row in hits.rows.tolist():
            found.setdefault(row, set()).add(hits.rule)

    assert set(faults.values()) == set(rules)
    missed = [(rule, pairs[row]) for row, rule in faults.items() if rule not in found.get(row, set())]
    assert not missed
    clean = np.setdiff1d(np.arange(len(pairs)), list(faults))
    assert sum(row in found for row in clean.tolist()) <= 0.01 * len(clean)
