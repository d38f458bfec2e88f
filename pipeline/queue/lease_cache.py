"""What a dispatcher remembers of leases, so that it reads none twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.contract.keys import lease_id
from pipeline.contract.lease import Lease, Phase
from pipeline.queue.expiry import ListedLease
from pipeline.store.base import Entry


@dataclass(frozen=True)
class _Known:
    etag: str
    lease: Lease | None
    """None for bytes that are no lease."""


@dataclass
class LeaseCache:
    """By id, the last lease read or written. Its ETag says whether that is still what stands."""

    _known: dict[str, _Known] = field(default_factory=dict)
    _looked: bool = False

    def note(self, id: str, etag: str, lease: Lease | None) -> None:
        """What stands at this ETag; `lease` None for bytes that are no lease."""
        self._known[id] = _Known(etag, lease)

    def keep_only(self, ids: Iterable[str]) -> bool:
        """Forget the leases that are gone. Whether any is, as far as this cache can know: a new one
        may have missed some."""
        listed = set(ids)
        known = dict(self._known)  # a copy: an engine's thread may note what it handed back
        gone = not self._looked or not listed.issuperset(known)
        self._looked = True
        self._known = {id: each for id, each in known.items() if id in listed}
        return gone

    def held(self, entries: Iterable[Entry]) -> Iterator[ListedLease]:
        """The listed leases with what is known of them. A stranger's object is passed over."""
        for entry in entries:
            id = lease_id(entry.key)
            if id is None:
                continue
            known = self._known.get(id)
            if known is None or known.etag != entry.etag:
                yield ListedLease(id, entry, None)
            else:
                yield ListedLease(id, entry, known.lease, unreadable=known.lease is None)

    def is_known(self, id: str) -> bool:
        """Whether model and tenant of this lease were ever seen: they do not change. The claim of
        a bare key lacks them, and the start of its job has them."""
        known = self._known.get(id)
        return known is not None and (known.lease is None or known.lease.model is not None)

    def last(self, id: str) -> Lease | None:
        """The last state seen, perhaps not what stands now."""
        known = self._known.get(id)
        return known.lease if known else None

    def in_flight(self, ids: Iterable[str]) -> Iterator[Lease]:
        """The leases that occupy a place: all but those that wait for a retry, or whose job is over
        and owes its events or its callback, even while these are being sent again."""
        for id in ids:
            lease = self.last(id)
            if lease is not None and lease.phase is not Phase.RETRY and not lease.committed:
                yield lease
