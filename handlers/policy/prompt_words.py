"""A word filter for prompts that sexualise minors: terms and ages over normalised English text.

It is a net with holes. Nobody has measured how much it lets through, it knows hardly any other
language, and it refuses some innocent texts. docs/policy.md says so and names the hook for a
classifier.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

ADULT = 18
"""Years; an age below it, in figures or in words, counts as a minor."""
REFUSED = "it combines minors with sexual content"

_LOOKALIKES = str.maketrans(
    "авекмнорстухіјѕԁɡαεικνορτυχ" + "0134578@$!|€",
    "abekmhopctyxijsdgaeiknoptux" + "oieastbasiie",
)
_GAPS = re.compile(r"[\W_]+")
_SPELT = re.compile(r"(?<![^\W_])(?:[^\W_][\W_]{1,2}){3,}[^\W_](?![^\W_])")
_STRETCHED = re.compile(r"([^\W\d])\1{2,}")
_MASKED = re.compile(r"[\w$@€]\S*\w")


def word_filter(text: str, *, nsfw: bool) -> str | None:
    """Why the text is refused, or None. With `nsfw` any mention of a minor is enough."""
    terms = _terms()
    for variant in _variants(text):
        if terms["always"].search(variant):
            return REFUSED
        plain = terms["innocent"].sub(" ", variant)
        young = terms["minors"].search(plain) or _names_an_age_below(ADULT, plain)
        if young and (nsfw or terms["sexual"].search(plain)):
            return "it names a minor, and nsfw is set" if nsfw else REFUSED
    return None


def _variants(text: str) -> Iterator[str]:
    """The text as it would be read: as it is, with look-alikes read as letters, respelt."""
    plain = _folded(text)
    for letters in (plain, _unmasked(plain)):
        for whole in (letters, _SPELT.sub(_joined, letters)):
            spaced = _GAPS.sub(" ", whole)
            yield spaced
            for kept in (r"\1", r"\1\1"):
                short = _STRETCHED.sub(kept, spaced)
                if short != spaced:
                    yield short


def _folded(text: str) -> str:
    """Without case, accents and invisible characters."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    visible = "".join(c for c in parts if unicodedata.category(c) not in ("Mn", "Cf"))
    return unicodedata.normalize("NFKC", visible)


def _unmasked(text: str) -> str:
    """Look-alike signs read as letters, in words that have a letter."""
    return _MASKED.sub(_as_letters, text)


def _as_letters(word: re.Match[str]) -> str:
    return word[0].translate(_LOOKALIKES) if re.search(r"[^\W\d_]", word[0]) else word[0]


def _joined(spelt: re.Match[str]) -> str:
    """ "l o l i" → "loli"."""
    return re.sub(r"[\W_]", "", spelt[0])


def _names_an_age_below(limit: int, text: str) -> bool:
    numbers = _ages_in_words()
    for found in _ages().finditer(text):
        number = next(group for group in found.groups() if group)
        if (numbers.get(number) or int(number)) < limit:
            return True
    return False


@cache
def _ages() -> re.Pattern[str]:
    number = rf"(\d{{1,3}}|{'|'.join(_ages_in_words())})"
    return re.compile(
        rf"\b{number} ?(?:years?|yrs?|y) ?(?:old|o|young|of age)\b|\b{number} ?yos?\b"
        rf"|\bage[ds]?(?: of| is)? {number}\b|\b(?:turning|turned) {number}\b"
        rf"|\b{number}(?:th|st|nd|rd) birthday\b"
    )


@cache
def _ages_in_words() -> dict[str, int]:
    return {word: age for age, word in enumerate(_table()["ages"], start=1)}


@cache
def _terms() -> dict[str, re.Pattern[str]]:
    lists = ("always", "minors", "sexual", "innocent")
    return {name: _pattern([*map(_folded, _table()[name])]) for name in lists}


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
