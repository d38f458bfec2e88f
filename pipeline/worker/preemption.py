"""The platform's notice that it takes the machine: SIGINT to the process, some 30 s before SIGKILL.

Modal's runner calls a method that is not async in the main thread, under Python's own handler, so
that the signal would be a KeyboardInterrupt wherever the worker happens to be. A KeyboardInterrupt
that leaves the method makes the runner report nothing of the input, run the exit methods with
SIGINT ignored, and end; the platform then runs the same input again on another machine. A method
that returns has done its input for good.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def noticed(notice: Callable[[], bool]) -> Iterator[None]:
    """While it lasts, SIGINT calls `notice`, so that the running job can end in order.

    `notice` says whether it heard of it before: whoever signals twice does not want to wait, and
    gets a KeyboardInterrupt. A handler that somebody else has installed stays.
    """
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or current_thread() is not main_thread():
        yield
        return

    def heard(*_: object) -> None:
        if notice():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
