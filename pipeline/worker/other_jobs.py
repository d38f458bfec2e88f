"""Looks between two steps whether other jobs wait for this worker."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from random import random

import structlog

from config.errors import StoreError
from pipeline.contract.lease import Lease
from pipeline.dispatcher.survey import Surveyor
from pipeline.dispatcher.time_slice import is_waited_for
from pipeline.queue.backlog import Backlog
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.spend_parts import SpendParts
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore

READERS = 8


@dataclass
class OtherJobs:
    """Remembers, as a dispatcher does, the leases and bodies that it has read."""

    _leases: LeaseCache = field(default_factory=LeaseCache)
    _backlog: Backlog = field(default_factory=Backlog)
    _spend_parts: SpendParts = field(default_factory=SpendParts)

    def wait_for(self, own: Lease, store: SafeStore, runtime: RuntimeConfig) -> bool:
        """One LIST of leases/ and one of the head of inbox/. False where the store does not say."""
        settings = runtime.settings.model_copy(update={"max_list_pages": 1})
        looking = replace(runtime, settings=settings)
        with ThreadPoolExecutor(READERS) as pool:
            surveyor = Surveyor(
                *(store, self._leases, self._backlog.apart(), looking, pool, random),
                reads_bare=True,
                spend_parts=self._spend_parts,
            )
            try:
                return is_waited_for(own, surveyor.look(), looking)
            except StoreError as error:
                log = structlog.get_logger(__name__)
                log.warning("other_jobs_unknown", job=own.id, error=error.message)
                return False
