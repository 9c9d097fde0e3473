"""Writes support_tickets.jsonl from the messages in support_ticket_skeletons.txt.

Run ``python datasets/make_support_tickets.py``: the same skeletons give the same file, byte for byte.
How the data came about, and what it is good for, stands in README.md beside this file.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
FILLINGS_PER_SKELETON = 3

ARTICLES = {
    "device": (
        "kettle, toaster, blender, coffee machine, rice cooker, hair dryer, vacuum cleaner, electric fan, "
        "alarm clock, radio, speaker, keyboard, monitor, printer, camera, desk lamp, charger, iron"
    ).split(", "),
    "garment": (
        "jacket, sweater, raincoat, dress, shirt, winter coat, skirt, wool hat, suit, blouse, cardigan, vest"
    ).split(", "),
    "furniture": (
        "bookshelf, armchair, office chair, mirror, coffee table, wardrobe, bed frame, stool, desk, sofa, "
        "bench, cupboard"
    ).split(", "),
    "outdoor": "tent, backpack, sleeping bag, water bottle, suitcase, umbrella, cool box, travel bag".split(", "),
}
ARTICLES["product"] = [article for kind in ("device", "garment", "furniture", "outdoor") for article in ARTICLES[kind]]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
CITIES = ["Leeds", "Bristol", "York", "Cardiff", "Dublin", "Oxford", "Glasgow", "Bath", "Derby", "Exeter"]
NAMES = ["Anna Keller", "Tom Baker", "Maria Lopez", "Paul Winter", "Nina Roth", "Omar Said", "Ella Stone"]
PRICES = ["19 euros", "24.50 euros", "39 euros", "49.90 euros", "65 euros", "89.95 euros", "120 euros"]


def read_skeletons(path: Path) -> Iterator[tuple[str, str, str]]:
    """The id, priority and text of each skeleton."""
    seen: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            category, priority, text = line.split(" | ", 2)
            seen[category] += 1
            yield f"{category}-{seen[category]:02d}", priority, text


def fill(identity: str, priority: str, text: str) -> Iterator[dict[str, str]]:
    """The rows of one skeleton: the same blanks, filled differently each time."""
    # Seeded by its own id, a skeleton keeps its rows when others are added.
    chance = random.Random(identity)
    (kind,) = [blank for blank in re.findall(r"{(\w+)}", text) if blank in ARTICLES]
    for article in chance.sample(ARTICLES[kind], FILLINGS_PER_SKELETON):
        order = str(chance.randrange(10_000, 100_000))
        message = text.format(
            order=order,
            day=chance.choice(DAYS),
            city=chance.choice(CITIES),
            name=chance.choice(NAMES),
            price=chance.choice(PRICES),
            **{kind: article},
        )
        known = order if "{order}" in text else "none"
        ticket = f"priority: {priority} | order: {known} | product: {article}"
        yield {"input": message, "expected": ticket, "template": identity}


def make_lines() -> list[str]:
    """Every row as a line of JSON, in an order that mixes the subjects."""
    skeletons = read_skeletons(FOLDER / "support_ticket_skeletons.txt")
    rows = [row for skeleton in skeletons for row in fill(*skeleton)]
    random.Random(0).shuffle(rows)
    return [json.dumps(row, ensure_ascii=False) for row in rows]


if __name__ == "__main__":
    (FOLDER / "support_tickets.jsonl").write_text("\n".join(make_lines()) + "\n", encoding="utf-8")
