"""What may keep a job from a GPU although nothing is wrong with it. Judged after the claim, when
its body has said whose it is, and by what the tick saw. Pure."""

from dataclasses import dataclass

from config.errors import RylaError
from pipeline.contract.lease import Lease
from pipeline.contract.stops import NO_STOPS, Stops
from pipeline.queue.stops import stopped


@dataclass(frozen=True)
class Gate:
    stops: Stops = NO_STOPS

    def why_waits(self, lease: Lease) -> RylaError | None:
        """Why this job, whose tenant and kind are known, is handed back; None where it may start.

        A stop put after the tick has looked is found by the worker, before it starts the job.
        """
        scope = self.stops.over(lease.tenant, lease.model)
        return None if scope is None else stopped(scope)
