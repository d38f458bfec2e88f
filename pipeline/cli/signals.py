"""Ends a command from outside."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ends_on_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt, once: what is being closed is left in peace."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def end(*_: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
