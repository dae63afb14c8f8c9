"""Texts of tagged words that the tests share: tiny ones of `tiny_rows`, and sentences from templates."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from conftest import NEGATIVE, POSITIVE, tiny_rows

Sentence = tuple[list[str], list[str]]


def tiny_sentences() -> list[Sentence]:
    """The texts of `tiny_rows`, shorter ones among them: runs of praise are GOOD, of blame BAD."""
    telling = dict.fromkeys(POSITIVE.split(), "GOOD") | dict.fromkeys(NEGATIVE.split(), "BAD")
    found = []
    for place, (text, _) in enumerate(tiny_rows()):
        words = text.split()[: 9 - place % 4]
        types = [telling.get(word, "") for word in words]
        inside = [bool(one) and one == before for one, before in zip(types, ["", *types], strict=False)]
        tags = [f"{'I' if i else 'B'}-{t}" if t else "O" for t, i in zip(types, inside, strict=True)]
        found.append((words, tags))
    return found


def write_conll(path: Path, sentences: Sequence[Sentence]) -> Path:
    """A file of words and tags, with a document's first line at its top."""
    rows = ["\n".join(f"{word} x {tag}" for word, tag in zip(*one, strict=True)) for one in sentences]
    path.write_text("-DOCSTART- -X- O\n\n" + "\n\n".join(rows) + "\n", encoding="utf-8")
    return path


PEOPLE = ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Marie Curie", "Emmy Noether", "Niels Bohr")
PLACES = ("Paris", "New York", "Berlin", "Cape Town", "Oslo", "Buenos Aires")
FIRMS = ("Acme Ltd", "Northwind", "Blue Harbor Bank", "Contoso", "Red Kite Press", "Initech")
TEMPLATES = (
    "{PER} flew to {LOC} on Monday .",
    "{ORG} opened an office in {LOC} .",
    "The letter from {PER} reached {ORG} late .",
    "{PER} met {PER} near {LOC} .",
    "Shares of {ORG} fell , and {PER} resigned .",
    "It rained all week in {LOC} .",
)


def sentences(count: int, seed: int = 0) -> list[Sentence]:
    """Sentences about people, places and firms, each another filling of a template."""
    draw, names = random.Random(seed), {"PER": PEOPLE, "LOC": PLACES, "ORG": FIRMS}
    found = []
    for place in range(count):
        words: list[str] = []
        tags: list[str] = []
        for part in TEMPLATES[place % len(TEMPLATES)].split():
            kind = part.strip("{}") if part.startswith("{") else ""
            filled = draw.choice(names[kind]).split() if kind else [part]
            words += filled
            tags += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(len(filled))]
        found.append((words, tags))
    return found
