"""What the terminal's encoding lacks, in letters that it has: a name is no reason to fail."""

import codecs
import sys
import unicodedata
from io import TextIOWrapper

SIGNS = str.maketrans(
    {"✓": "v", "✗": "x", "↻": "~", "◐": "o", "·": ".", "█": "#", "░": "-", "\u2013": "-", "→": ">"}
    | {"…": "...", "ß": "ss"}
)


def plain(text: str) -> str:
    """In ASCII: signs of our own as others, letters without their marks, and ? for the rest."""
    parts = unicodedata.normalize("NFKD", text.translate(SIGNS))
    kept = "".join(each for each in parts if not unicodedata.combining(each))
    return kept.encode("ascii", "replace").decode()


def speak_any_encoding() -> None:
    """From here on stdout and stderr take any text."""
    codecs.register_error("ryla_plain", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="ryla_plain")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end
