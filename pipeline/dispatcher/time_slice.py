"""Whether a running job makes room for another between two of its steps. Pure, given a look.

It yields only where the dispatcher's own plan would start another job in its place. So it is put
among those that wait, as it would wait after the yield, and the same `admit` chooses. A job of its
route that was claimed and that no worker has started waits for this worker, if for any: then there
is one place, and else as many as the route has free, and its own. A bare key counts once its body
was read.
"""

from collections.abc import Iterator

from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.due import due_leases
from pipeline.dispatcher.survey import Survey, free_slots, service_order
from pipeline.queue.admission import Slots, admit
from pipeline.queue.retries import as_waiting
from pipeline.runtime import RuntimeConfig


def is_waited_for(own: Lease, survey: Survey, runtime: RuntimeConfig) -> bool:
    """Whether another job would be started now if the running job `own` had yielded."""
    route = runtime.route_of(own.model)
    unstarted = [lease for lease in _unstarted(survey) if runtime.route_of(lease.model) == route]
    aside = {own.id, *(lease.id for lease in unstarted)}
    running = [lease for lease in survey.in_flight if lease.id not in aside]
    free = 1 if unstarted else free_slots(runtime, running).free.get(route, 0)
    itself = as_waiting(own.yielded(survey.date))
    candidates = [
        *survey.scan.waiting,
        *due_leases(survey, runtime).retries,
        *map(as_waiting, unstarted),
        itself,
    ]
    order = service_order(runtime, running, survey.date)
    return itself not in admit(candidates, Slots({route: free}, runtime.route_of), order)


def _unstarted(survey: Survey) -> Iterator[Lease]:
    """Claimed, and not started as far as the lease that stands there is known."""
    for held in survey.held:
        lease = held.lease
        if lease is not None and lease.phase in (Phase.CLAIMED, Phase.SPAWNED):
            yield lease
