"""A word filter for prompts that sexualise minors: terms and ages over normalised English text.

It is a net with holes. Nobody has measured how much it lets through, it knows hardly any other
language, and it refuses some innocent texts. docs/policy.md says so and names the hook for a
classifier.
"""

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from handlers.policy.disguises import Reader, folded

ADULT = 18
"""Years; an age below it, in figures or in words, counts as a minor."""
YOUNGEST = 3
"""In brackets, where smaller numbers count something else."""
_PERSON = (
    "girl|boy|kid|teen|daughter|son|sister|brother|niece|nephew|she|he|her|him|student|pupil"
    "|model|person|female|male|lady"
)
_BRACKETED = re.compile(rf"\b(?:[A-Z][a-z]+|{_PERSON}),? ?\( ?(\d{{1,2}}) ?\)")
_MONTHS = re.compile(r"\b(\d{1,3}) ?(?:months?|weeks?|days?) ?old\b")
REFUSED = "it combines minors with sexual content"


def word_filter(text: str, *, nsfw: bool) -> str | None:
    """Why the text is refused, or None. With `nsfw` any mention of a minor is enough."""
    terms = _terms()
    aged = _age_in_brackets(text)
    for variant in _reader().readings(text):
        if terms["always"].search(variant):
            return REFUSED
        plain = terms["innocent"].sub(" ", variant)
        young = aged or terms["minors"].search(plain) or _names_an_age_below(ADULT, plain)
        if young and (nsfw or terms["sexual"].search(plain)):
            return "it names a minor, and nsfw is set" if nsfw else REFUSED
    return None


def _names_an_age_below(limit: int, text: str) -> bool:
    numbers = _ages_in_words()
    for found in _ages().finditer(text):
        number = next(group for group in found.groups() if group)
        if (numbers.get(number) or int(number)) < limit:
            return True
    return any(int(found[1]) < 12 * limit for found in _MONTHS.finditer(text))


def _age_in_brackets(text: str) -> bool:
    """ "Anna (9)": behind a name or a person, where no list has its numbers."""
    plain = unicodedata.normalize("NFKC", text)
    return any(YOUNGEST <= int(found[1]) < ADULT for found in _BRACKETED.finditer(plain))


@cache
def _ages() -> re.Pattern[str]:
    number = rf"(\d{{1,3}}|{'|'.join(_ages_in_words())})"
    figures = r"(\d{1,2})"
    return re.compile(
        rf"\b{number} ?(?:years?|yrs?|y) ?(?:old|o|young|of age)\b|\b{number} ?yos?\b"
        rf"|\bage[ds]?(?: of| is)? {number}\b|\b(?:turning|turned) {number}\b"
        rf"|\b{number}(?:th|st|nd|rd) birthday\b"
        rf"|\b{figures} ?yrs?\b(?! (?:of|ago|later|in|experience|warranty|after|before|from)\b)"
        rf"|\b{figures}y\b"
    )


@cache
def _ages_in_words() -> dict[str, int]:
    """Those below 18, and in Roman figures."""
    table = _table()
    return {
        word: age for name in ("ages", "roman") for age, word in enumerate(table[name], start=1)
    }


@cache
def _reader() -> Reader:
    lists = ("always", "minors", "sexual")
    words = [folded(word) for name in lists for word in _table()[name]]
    return Reader([word for word in words if _spaced(word)], _table()["fillers"])


@cache
def _terms() -> dict[str, re.Pattern[str]]:
    lists = ("always", "minors", "sexual", "innocent")
    return {name: _pattern([*map(folded, _table()[name])]) for name in lists}


@cache
def _table() -> dict[str, list[str]]:
    text = files("handlers.policy").joinpath("prompt_words.toml").read_text("utf-8")
    return tomllib.loads(text)


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Any of the terms: whole words, where the script has spaces between words."""
    latin = sorted((word for word in words if _spaced(word)), key=len, reverse=True)
    dense = [word for word in words if not _spaced(word)]
    whole = rf"\b(?:{'|'.join(map(re.escape, latin))})s?\b".replace(r"\ ", " ")
    return re.compile("|".join([whole, *map(re.escape, dense)]))


def _spaced(word: str) -> bool:
    return not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", word)
