"""Ids that PostHog takes for a person or thing, and the ones it silently drops events for."""

from config.errors import InvalidField

MAX_LENGTH = 200
"""Characters."""

ILLEGAL = frozenset(
    {
        "0",
        "[object object]",
        "anonymous",
        "backend",
        "distinct_id",
        "distinctid",
        "email",
        "false",
        "guest",
        "id",
        "nan",
        "none",
        "not_authenticated",
        "null",
        "system",
        "true",
        "undefined",
        "user",
    }
)
"""Placeholders that would merge everybody who sends one into a single person; in any case, and
quoted or not."""

_HINT = "Use the id of one user or tenant, such as user_123."


def illegal_because(value: str) -> str | None:
    """Why PostHog would not take this id, or None when it would."""
    bare = value.strip().strip("\"'").strip()
    if not bare:
        return "is blank"
    if len(value) > MAX_LENGTH:
        return f"has {len(value)} characters, and at most {MAX_LENGTH} are taken"
    if not value.isprintable():
        return "has characters that cannot be printed"
    if bare.lower() in ILLEGAL:
        return "is a placeholder that PostHog does not take for an id"
    return None


def check_distinct_id(value: str) -> str:
    """The value, if events may carry it. Raises InvalidField."""
    reason = illegal_because(value)
    if reason is None:
        return value
    shown = value if len(value) <= MAX_LENGTH else value[:MAX_LENGTH] + "…"
    raise InvalidField(f"distinct_id {reason}.", field="distinct_id", value=shown, hint=_HINT)


def distinct_id_for(wanted: str | None, tenant: str | None, otherwise: str) -> str:
    """The id that an event carries: the caller's, else the tenant's, else `otherwise`."""
    candidates = (wanted, tenant, f"tenant:{tenant}" if tenant else None)
    legal = (one for one in candidates if one is not None and illegal_because(one) is None)
    return next(legal, otherwise[:MAX_LENGTH])
