"""What the endpoints are given. Nothing in this package opens a bucket or reads a setting itself."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.bench import Bench
from pipeline.store.conditional import SafeStore


def nobody_listens(key: str | None = None) -> None:  # noqa: ARG001  the port's shape
    """Where no dispatcher runs beside the API: whoever polls the bucket finds the job."""


@dataclass(frozen=True)
class Ports:
    bench: Bench
    store: SafeStore
    heard: Callable[[str | None], None] = nobody_listens
    """Called when work was heard of, with its inbox key where that is known: whoever dispatches
    looks at once. Returns at once, never raises, and may be called from any thread."""
