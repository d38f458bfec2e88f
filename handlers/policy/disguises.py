"""The readings of a text whose words are disguised: other letters, other spelling, hidden breaks.

A reading is plain lower-case text with single spaces. A text has several, since a sign may stand
for itself or for a letter, and a break for nothing.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

# Signs that stand for letters: of other scripts, small capitals, phonetic ones.
_LETTERS = str.maketrans(
    "авекмнорстухіјѕԁɡαεικνορτυχ"
    "օոսհցյքզլւԛԝյ"
    "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ"
    "ıłøđħŧɑɩɛɐɔəɘǝɥɯɹʇʌʎƈƙɓɗ",
    "abekmhopctyxijsdgaeiknoptux"
    "onuhgjpqlvqwj"
    "abcdefghijklmnopqrstuvwyz"
    "ilodhtaieaceeehmrtvyckbd",
)  # fmt: skip
_SIGNS = "0134578@$!|€"
_FIGURES = (str.maketrans(_SIGNS, "oieastbasiie"), str.maketrans(_SIGNS, "oleastbaslle"))
"""A 1 may be an i or an l."""
_RANGES = ((0x1F1E6, 26), (0x1F150, 26), (0x1F170, 26))
"""Letters without a plain form in Unicode: regional, white on black in circles and in squares."""
_BOXED = {start + n: chr(ord("a") + n) for start, count in _RANGES for n in range(count)}
_PICTURES = {
    0x1F476: " baby ",
    0x1F466: " child ",
    0x1F467: " child ",
    0x1F9D2: " child ",
    0x1F6B8: " children ",
}
"""Signs that models read as these words."""
_PLAIN = _BOXED | _PICTURES
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
"""ASCII that shows nothing."""
_WEIGHT = re.compile(r": ?[\d.]+ ?(?=[)\]])")
"""ComfyUI's emphasis, as in `(word:1.2)`."""
_BLANK_LETTERS = dict.fromkeys((0x115F, 0x1160, 0x3164, 0xFFA0, 0x2800))
"""Signs that count as letters and show nothing."""
_INVISIBLE = ("Mn", "Me", "Cf")
_UNSEEN = (*_INVISIBLE, "Cc", "Zs", "Zl", "Zp")
_TURNED = ("\u202e", "\u2067")
"""What follows is shown from right to left."""

_GAPS = re.compile(r"[\W_]+")
_STRETCHED = re.compile(r"([^\W\d])\1{2,}")
_MASKED = re.compile(r"[\w$@€]\S*\w")
_PIECE = re.compile(r"[^\W_]+")
_SPELT = re.compile(r"(?<![^\W_])(?:[^\W_][\W_]{1,3}){3,}[^\W_](?![^\W_])")
_HOLES = "#*?%^~+=•·"
_HOLED = re.compile(rf"[^\W_][\w{re.escape(_HOLES)}]*[^\W_]")
_MOST_PIECES = 24
_LONGEST = 40


def folded(text: str) -> str:
    """Without case, accents, invisible characters and letters' other forms."""
    # A capital in another form is one only after NFKC has told what it is.
    plain = unicodedata.normalize("NFKC", text.translate(_PLAIN)).casefold()
    parts = unicodedata.normalize("NFKD", plain.translate(_BLANK_LETTERS))
    visible = "".join(c for c in parts if unicodedata.category(c) not in _INVISIBLE)
    return unicodedata.normalize("NFKC", visible).casefold()


def shows_something(text: str) -> bool:
    """Whether any of it can be seen."""
    return any(unicodedata.category(c) not in _UNSEEN for c in folded(text))


@dataclass(frozen=True)
class Reader:
    """Reads texts in which any of these words may be hidden."""

    words: Sequence[str]
    """Folded; of several words with spaces between them."""
    fillers: Sequence[str] = ()
    """Words that may stand among them where all is written in one."""

    def readings(self, text: str) -> Iterator[str]:
        for shown in _shown(text):
            plain = folded(shown)
            letters = {plain, _unmasked(plain, 0), _unmasked(plain, 1)}
            for whole in dict.fromkeys((plain, *sorted(letters))):
                for spelt in dict.fromkeys((whole, self._filled(whole))):
                    yield from _shortened(_GAPS.sub(" ", spelt))
                    respelt = self._respelt(spelt)
                    if respelt != spelt:
                        yield from _shortened(_GAPS.sub(" ", respelt))

    @cached_property
    def _by_letters(self) -> dict[str, str]:
        """Without their spaces → the word."""
        return {word.replace(" ", ""): word for word in self.words}

    def _word(self, letters: str) -> str:
        return self._by_letters.get(letters, letters)

    @cached_property
    def _parts(self) -> frozenset[str]:
        return frozenset(self._by_letters) | {f"{each}s" for each in self._by_letters}

    @cached_property
    def _inside(self) -> re.Pattern[str]:
        longest = sorted((each for each in self._parts if len(each) > 2), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)))

    @cached_property
    def _shapes(self) -> dict[int, str]:
        """Length → all of them of that length, between spaces."""
        found: dict[int, list[str]] = {}
        for each in self._parts:
            found.setdefault(len(each), []).append(each)
        return {length: f" {' '.join(each)} " for length, each in found.items()}

    def _filled(self, text: str) -> str:
        """ "c#ild" → "child": a sign in the place of one letter, or of two."""

        def fill(found: re.Match[str]) -> str:
            word = found[0]
            holes = sum(word.count(sign) for sign in _HOLES)
            if not 0 < holes <= 2 or len(word) - holes < 2:
                return word
            pattern = "".join("[a-z]" if sign in _HOLES else re.escape(sign) for sign in word)
            meant = re.search(f" ({pattern}) ", self._shapes.get(len(word), ""))
            return meant[1] if meant else word

        return _HOLED.sub(fill, text)

    def _respelt(self, text: str) -> str:
        """Words that are spelt in pieces put together, those that are written in one apart."""
        text = _SPELT.sub(lambda found: self._apart(re.sub(r"[\W_]", "", found[0]), True), text)
        pieces = list(_PIECE.finditer(text))
        out: list[str] = []
        at = 0
        while at < len(pieces):
            taken, word = self._together(text, pieces, at)
            out.append(word if taken > 1 else self._apart(pieces[at][0], False))
            at += taken
        return " ".join(out)

    def _together(self, text: str, pieces: Sequence[re.Match[str]], at: int) -> tuple[int, str]:
        """How many pieces from here are one word, and the word; 1 where they are none."""
        joined, best, single = pieces[at][0], (1, pieces[at][0]), len(pieces[at][0]) == 1
        tight = True
        for n, piece in enumerate(pieces[at + 1 : at + _MOST_PIECES], start=2):
            tight &= " " not in text[pieces[at + n - 2].end() : piece.start()]
            joined += piece[0]
            single |= len(piece[0]) == 1
            if len(joined) > _LONGEST:
                break
            # Two words of a sentence, as "pen is", are no spelling.
            if joined in self._parts and (tight or single):
                best = n, self._word(joined)
        return best

    def _apart(self, word: str, spelt: bool) -> str:
        """A word that is made of nothing but these words and fillers, with spaces; of one that was
        spelt out, also what stands between them."""
        if not 4 <= len(word) <= _LONGEST * 4:
            return word
        if spelt:
            return self._inside.sub(lambda found: f" {self._word(found[0])} ", word)
        whole = self._split(word)
        return word if whole is None else " ".join(map(self._word, whole))

    def _split(self, word: str) -> list[str] | None:
        known = self._parts | frozenset(self.fillers)
        ways: list[list[str] | None] = [[], *[None] * len(word)]
        for end in range(1, len(word) + 1):
            for start in range(max(0, end - _LONGEST // 2), end):
                before = ways[start]
                if before is not None and word[start:end] in known:
                    ways[end] = [*before, word[start:end]]
                    break
        return ways[-1]


def _shown(text: str) -> Iterator[str]:
    """The text, with HTML's names for letters and tags read and without weights, and as it is shown
    from right to left."""
    yield text
    read = _WEIGHT.sub("", html.unescape(html.unescape(text))).translate(_TAGS)
    if read != text:
        yield read
    if any(sign in read for sign in _TURNED):
        yield read[::-1]


def _unmasked(text: str, way: int) -> str:
    """Look-alike signs read as letters, in words that have a letter."""

    def letters(word: re.Match[str]) -> str:
        if not re.search(r"[^\W\d_]", word[0]):
            return word[0]
        return word[0].translate(_LETTERS).translate(_FIGURES[way])

    return _MASKED.sub(letters, text)


def _shortened(spaced: str) -> Iterator[str]:
    """As it is, and with stretched letters once or twice."""
    yield spaced
    for kept in (r"\1", r"\1\1"):
        short = _STRETCHED.sub(kept, spaced)
        if short != spaced:
            yield short
