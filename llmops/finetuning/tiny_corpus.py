"""The generic text that the tiny base model is trained on, generated from the word lists in tiny_words.

Four kinds of documents, in a fixed mixture: short messages on everyday subjects with a chatty reply; the same kind of
messages with an instruction to note some of their details in one of many forms; questions about one detail; and
exercises in copying and looking up. What the model is later fine-tuned for must not be among them.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmops.finetuning import tiny_words as words


class Document(NamedTuple):
    """One user message and the answer to it."""

    user: str
    assistant: str


class Message(NamedTuple):
    """A short message and the details that can be read from it, by kind; a detail it lacks is None."""

    text: str
    details: dict[str, str | None]


# What a detail may be called when somebody asks for it, and how often it is asked for.
DETAIL_NAMES: dict[str, tuple[list[str], float]] = {
    "thing": (["thing", "item", "article"], 6),
    "number": (["number", "code"], 5),
    "subject": (["subject", "topic"], 6),
    "hurry": (["hurry", "soon"], 4),
    "day": (["day", "when"], 1),
    "city": (["city", "place"], 1),
    "person": (["person", "name"], 1),
    "money": (["money", "price"], 1),
    "colour": (["colour"], 0.5),
}
NUMBER_CARRIERS = """The number is {number}.|No. {number}.|It is number {number}.|({number})|Code {number}.|{number} is on the slip.
My note says {number}.|{number}|Reference: {number}.|See {number}.|the paper shows {number}|Look under {number}.|It stands under {number}.
It is about {number}.|This concerns {number}.|number: {number}|That was {number}.""".replace("\n", "|").split("|")
MONEY_CARRIERS = """It cost {money}.|I paid {money}.|The price was {money}.|{money} in all.|It was {money}.""".split(
    "|"
)
THING_CARRIERS = """It is about the {thing}.|I mean the {thing}.|We have a {thing}.|I bought a {thing} on {day}.|It was a {thing}.|One {thing}.
The {thing} is from {city}.|My {thing}, that is.|{first} gave me the {thing}.""".replace("\n", "|").split("|")
REPLIES = """Thank you for your message about the {thing}.|We will look into it.|Dear {person}, thank you for writing.|I am sorry to hear that.
Let us talk about the {thing} on {day}.|Have you asked in {city}?|I have noted {number}.|That sounds like a question of {subject}.
Thank you, we will answer soon.|We understand. The {thing} matters to us.|All right, I will tell the others.|What a pity about the {thing}.""".replace(
    "\n", "|"
).split("|")


def documents(seed: int) -> Iterator[Document]:
    """An endless stream of documents; the same seed gives the same stream."""
    chance = random.Random(seed)
    makers, weights = zip(*_MIXTURE, strict=True)
    while True:
        yield chance.choices(makers, weights)[0](chance)


def make_message(chance: random.Random) -> Message:
    """A message on one subject, with its details at random places."""
    subject = chance.choice(list(words.SUBJECTS))
    slots = {
        "thing": chance.choice(words.THINGS),
        "number": str(chance.randrange(10 ** (digits := chance.choice([2, 3, 4, 5, 5, 5, 6])), 10 ** (digits + 1))),
        "day": chance.choice(words.DAYS),
        "city": chance.choice(words.CITIES),
        "first": chance.choice(words.FIRST_NAMES),
        "last": chance.choice(words.LAST_NAMES),
        "colour": chance.choice(words.COLOURS),
        "money": _money(chance),
    }
    hurry = chance.random() < 0.35
    phrases = words.SUBJECTS[subject]

    def clause(frames: list[str], key: str, phrases_of: list[str]) -> str:
        return chance.choice(frames).replace("{" + key + "}", chance.choice(phrases_of))

    sentences = [clause(words.STATEMENTS, "state", phrases["states"]) for _ in range(chance.choice([0, 1, 1, 2]))]
    sentences += [
        clause(words.REQUESTS, "wish", phrases["wishes"]) for _ in range(chance.choice([0, 1, 1]) or not sentences)
    ]
    if chance.random() < 0.7:
        sentences.append(chance.choice(NUMBER_CARRIERS))
    if chance.random() < 0.2:
        sentences.append(chance.choice(MONEY_CARRIERS))
    if not any("{thing}" in sentence for sentence in sentences) and chance.random() < 0.8:
        sentences.append(chance.choice(THING_CARRIERS))
    if hurry:
        sentences.append(chance.choice(words.HURRIED))
    elif chance.random() < 0.3:
        sentences.append(chance.choice(words.CALM))
    chance.shuffle(sentences)
    if chance.random() < 0.2:
        sentences.insert(0, chance.choice(words.GREETINGS))
    template = " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
    text = template.format(**slots)
    person = None
    if "{first}" in template:
        person = slots["first"] + (" " + slots["last"] if "{last}" in template else "")
    details = {kind: slots[kind] if "{" + kind + "}" in template else None for kind in slots if kind in DETAIL_NAMES}
    return Message(text, {**details, "person": person, "subject": subject, "hurry": "yes" if hurry else "no"})


def _money(chance: random.Random) -> str:
    amount = str(chance.randrange(2, 300)) + chance.choice(["", "", f".{chance.randrange(100):02d}"])
    return f"{amount} {chance.choice(['euros', 'euros', 'pounds', 'dollars'])}"


def _reply(chance: random.Random) -> Document:
    """A message answered as people chat; the reply may take up a detail."""
    message = make_message(chance)
    known = {kind: value for kind, value in message.details.items() if value is not None}
    fitting = []
    for reply in REPLIES:
        try:
            fitting.append(reply.format(**known))
        except KeyError:
            continue
    return Document(message.text, " ".join(chance.sample(fitting, 2)))


Record = dict[str, str | None]


def _written(record: Record, frame: str, separator: str, missing: str) -> str:
    return separator.join(frame.format(name=name, value=value or missing) for name, value in record.items())


# Each form with how often it is asked for. Where a value follows a space, its tokens are those of running text.
FORMS: dict[str, tuple[Callable[[Record], str], float]] = {
    "lines": (lambda record: _written(record, "{name}: {value}", "\n", "none"), 4),
    "pairs": (lambda record: _written(record, "{name} = {value}", "; ", "none"), 3),
    "a sentence": (lambda record: _written(record, "{name} is {value}", ", ", "unknown") + ".", 2),
    "JSON": (json.dumps, 1),
}


def _kind(chance: random.Random) -> str:
    return chance.choices(list(DETAIL_NAMES), [often for _, often in DETAIL_NAMES.values()])[0]


def _record(chance: random.Random) -> Document:
    """A message and an instruction to note some of its details in a given form."""
    message = make_message(chance)
    kinds = dict.fromkeys(_kind(chance) for _ in range(chance.randint(2, 11)))
    record = {chance.choice(DETAIL_NAMES[kind][0]): message.details[kind] for kind in kinds}
    form = chance.choices(list(FORMS), [often for _, often in FORMS.values()])[0]
    asked = f"{', '.join(record)} as {form}"
    user = chance.choice(
        [
            f"{asked}: {message.text}",
            f"{message.text} Note {asked}.",
            f"{message.text}\n{asked}",
            f"{asked}\n{message.text}",
        ]
    )
    return Document(user, FORMS[form][0](record))


def _question(chance: random.Random) -> Document:
    """A message and a question about one of its details."""
    message = make_message(chance)
    kind = _kind(chance)
    name = chance.choice(DETAIL_NAMES[kind][0])
    question = chance.choice([f"Which {name}?", f"What {name} is it?", f"{name}?"])
    user = f"{question} {message.text}" if chance.random() < 0.5 else f"{message.text} {question}"
    return Document(user, message.details[kind] or "none")


def _few(chance: random.Random, low: int, high: int) -> list[str]:
    pools = [words.EVERYDAY_WORDS, words.EVERYDAY_WORDS, words.THINGS, words.FIRST_NAMES, words.CITIES]
    number = [str(chance.randrange(10, 1_000_000)) for _ in range(2)]
    return [chance.choice(chance.choice([*pools, number])) for _ in range(chance.randint(low, high))]


def _repeat(chance: random.Random) -> Document:
    """Words to be said again."""
    said = " ".join(_few(chance, 3, 12))
    return Document(f"{chance.choice(['Repeat', 'Copy', 'Say again'])}: {said}", said)


def _look_up(chance: random.Random) -> Document:
    """A list of pairs, and the question which value belongs to one name."""
    names = list(dict.fromkeys(_few(chance, 3, 7)))
    pairs = {name: " ".join(_few(chance, 1, 1)) for name in names}
    asked = chance.choice(names)
    return Document(", ".join(f"{name}: {value}" for name, value in pairs.items()) + f". {asked}?", pairs[asked])


_MIXTURE: list[tuple[Callable[[random.Random], Document], float]] = [
    (_reply, 0.07),
    (_record, 0.75),
    (_question, 0.08),
    (_repeat, 0.07),
    (_look_up, 0.03),
]
