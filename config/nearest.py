"""The nearest known name to one that is not known, for error hints."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from config.errors import InvalidSetting


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, or None when nothing comes close.

    Case of `name` is ignored, so `known` should be in lower case. Close is a ratio of 0.6 by
    difflib.
    """
    matches = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def require_known(
    names: Iterable[str], known: Iterable[str], *, what: str, field: str, source: str | Path
) -> None:
    """Raises InvalidSetting for a name that nothing knows, which would be accepted and have no
    effect. `what` says of what the names are, `source` is the file, or the setting, that has
    them."""
    by_lower = {each.lower(): each for each in known}
    for name in names:
        if name in by_lower.values():
            continue
        close = nearest(name, by_lower)
        raise InvalidSetting(
            f"{source}: {field}: no {what} is named {name!r}",
            field=field,
            value=name,
            hint=f"Did you mean {by_lower[close]}?"
            if close
            else f"Known: {', '.join(by_lower.values())}.",
        )
