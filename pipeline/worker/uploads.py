"""Encodes and stores a job's pictures in a thread of their own, behind the making of the next."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

_WAITING: Final = 1
"""Pictures that may wait for the one that is being stored: each holds its pixels in memory."""


class Uploads:
    """A context manager around the making of a job's pictures. One upload runs after the other, in
    the order in which they are put here.

    Left in good order, it raises what an upload raised, and else all have ended. Left with an error
    it waits for those that were put here, and that error is told: they belong to a job that ends
    otherwise. Either way no thread is left.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._open: deque[Future[None]] = deque()

    def put(self, upload: Callable[[], None]) -> None:
        """Waits while another one waits already. Raises what an earlier one raised, and then does
        not begin this one."""
        while self._open and (len(self._open) > _WAITING or self._open[0].done()):
            self._open.popleft().result()
        self._open.append(self._pool.submit(upload))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._pool:
            while error is None and self._open:
                self._open.popleft().result()
