"""The nearest known name to one that is not known, for error hints."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, or None when nothing comes close.

    Case of `name` is ignored, so `known` should be in lower case. Close is a ratio of 0.6 by
    difflib.
    """
    matches = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
