"""How jobs are cancelled over HTTP."""

import os
import socket
from collections.abc import Sequence

from events.sink import NotDelivered
from events.stored_event import StoredEvent
from pipeline.api.dependencies import ApiDependencies
from pipeline.jobs.cancel import Canceller


class _Later:
    """A request waits for no other server: the events of a cancelled job stay owed by its lease,
    and a dispatcher sends them."""

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:  # noqa: ARG002
        raise NotDelivered("left to a dispatcher", tried=False)


def api_canceller(dependencies: ApiDependencies) -> Canceller:
    """One for all requests: it draws one sheet at a time."""
    owner = f"api@{socket.gethostname()}:{os.getpid()}"
    return Canceller(dependencies.store, dependencies.runtime, _Later(), owner)
