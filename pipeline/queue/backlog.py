"""What a dispatcher knows of the inbox, from one tick to the next.

A tick lists the head of the inbox, its first page: there are the highest priorities. Everything on
it is a candidate, whatever its key. When more waits than a page holds, the tick goes on where the
last one stopped, after the last key that was really listed, for a page, or for a tenth of the pages
that the sweep has taken so far or the last one took; at most RYLA_MAX_LIST_PAGES in all. At the end
of the inbox the next tick begins again behind the head. So a sweep takes ten ticks once its length
is known, and at most a tick a page before. Every entry is listed at least once in a sweep, and with
it its ageing comes to bear, although a page of nines stands before it.

What was listed stays known until it is listed anew, held by a lease or claimed, so that a slot that
comes free finds the best of the whole inbox and not of one page. Of each route the first
`KEPT` in the order of service stay, or as many as it has free slots. What went meanwhile is noticed
by whoever claims it: only what is read after the claim counts.

A process begins its first sweep at a key drawn at random, and goes round: processes that live for
one tick only do not all look at the same pages.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from config.errors import InvalidId
from pipeline.contract.keys import INBOX, parse_inbox_key
from pipeline.queue.admission import Contents, ServiceOrder, Slots, Waiting
from pipeline.store.base import Entry, Page

KEPT = 500
"""Waiting jobs of each route that stay known."""
BODIES = 64
"""Bodies of bare keys that a tick reads at most."""
READ = 10_000
"""Bodies whose contents are remembered."""
SWEEP_TICKS = 10
"""Ticks in which a sweep of known length goes through the inbox."""
SEEKS = 8
"""Pages of a process's first tick, in which it looks for a place to begin."""
CHARACTERS = "-.0123456789_abcdefghijklmnopqrstuvwxyz"
"""Of inbox keys, in byte order."""


@dataclass
class Backlog:
    known: dict[str, Waiting] = field(default_factory=dict)
    """Waiting jobs by key."""
    position: str | None = None
    """The last key that a sweep has listed; empty at its beginning, None before the first."""
    swept: int = 0
    """Pages of this sweep so far."""
    last_sweep: int = 0
    """Pages that the last whole sweep took."""
    _read: dict[str, tuple[str, Contents]] = field(default_factory=dict)
    """By key, the ETag of a body and what it said."""

    def learn(self, entry: Entry, contents: Contents) -> None:
        """The body of a waiting job has been read."""
        self._read[entry.key] = (entry.etag, contents)
        if len(self._read) > READ:
            del self._read[next(iter(self._read))]
        self.note(entry)

    def note(self, entry: Entry) -> Waiting:
        """An entry that waits. Raises InvalidId for a name that is no job's."""
        etag, contents = self._read.get(entry.key, ("", None))
        same = contents if etag == entry.etag else None
        job = self.known[entry.key] = Waiting(parse_inbox_key(entry.key), entry, same)
        return job

    def forget(self, jobs: Iterable[Waiting]) -> None:
        """They are claimed, or gone."""
        for job in jobs:
            self.known.pop(job.entry.key, None)

    def apart(self) -> "Backlog":
        """One that knows no waiting job yet, and shares what bodies said."""
        return Backlog(_read=self._read)


@dataclass
class Scan:
    """The listing of one tick."""

    backlog: Backlog
    order: ServiceOrder
    slots: Slots
    held: frozenset[str]
    """Ids that have a lease already."""
    most_pages: int
    """That a tick may list: RYLA_MAX_LIST_PAGES."""
    draw: Callable[[], float]
    """A number from 0 to 1."""
    kept: int = KEPT
    """As KEPT."""
    retrying: Sequence[Waiting] = ()
    """Jobs whose retry is due: they need slots too."""
    beside_lease: dict[str, Entry] = field(default_factory=dict)
    """Inbox entries of jobs that are held."""
    invalid_entries: list[Entry] = field(default_factory=list)
    """Entries whose name is no job's."""
    holds: Callable[[Waiting], bool] | None = None
    """Whether a job that is listed waits for no slot now: an operator has stopped it, or a budget
    has no room. None until that is known."""
    more: bool = False
    """Whether the inbox goes on behind its head."""
    _after: str = ""
    _pages_left: int = 0
    _seek: "_Seek | None" = None

    @property
    def waiting(self) -> Sequence[Waiting]:
        """All jobs that are known to wait for a slot."""
        known = self.backlog.known.values()
        return tuple(job for job in known if not self._is_held_up(job))

    @property
    def held_up(self) -> Sequence[Waiting]:
        """Those known to wait for something else than a slot."""
        return tuple(job for job in self.backlog.known.values() if self._is_held_up(job))

    def _is_held_up(self, job: Waiting) -> bool:
        return self.holds is not None and self.holds(job)

    def begin(self) -> str:
        """The key to list after first: the head's, or where a single page a tick has come to."""
        backlog = self.backlog
        backlog.forget([job for job in backlog.known.values() if job.name.id in self.held])
        pace = 1 + max(backlog.swept, backlog.last_sweep) // SWEEP_TICKS
        budget = SEEKS if backlog.position is None else 1 + pace
        self._pages_left = min(self.most_pages, budget)
        if self.most_pages == 1 and backlog.position:
            self._after = backlog.position
        return self._after

    def take(self, page: Page) -> str | None:
        """Take a page in. The key to list after next, or None when this tick has listed enough."""
        self._pages_left -= 1
        self._replace_known(page)
        self.more = page.truncated or self._after != ""
        following = self._behind_head(page) if self._after == "" else self._swept(page)
        if self.more:
            self._trim()
        if not following or self._pages_left == 0:
            return None
        self._after = following
        return following

    def unread(self) -> list[Waiting]:
        """The bare jobs whose bodies are to be read, because not every job will find a slot."""
        if not any(self.slots.free.values()) or self.slots.suffice((*self.waiting, *self.retrying)):
            return []
        return self.bare()

    def bare(self) -> list[Waiting]:
        """The first of the jobs that say no model, because their bodies were not read."""
        return self.order.sort(job for job in self.waiting if job.model is None)[:BODIES]

    def note(self, entries: Iterable[Entry]) -> None:
        """Take in entries that were listed, or heard of."""
        for entry in entries:
            try:
                job = self.backlog.note(entry)
            except InvalidId:
                self.invalid_entries.append(entry)
                continue
            if job.name.id in self.held:
                self.beside_lease[job.name.id] = entry
                self.backlog.forget([job])

    def _replace_known(self, page: Page) -> None:
        """What was known between the page's keys and is not on it has gone."""
        listed = {entry.key for entry in page.entries}
        last = page.entries[-1].key if page.truncated else None
        self.backlog.forget(
            [
                job
                for key, job in self.backlog.known.items()
                if key > self._after and (last is None or key <= last) and key not in listed
            ]
        )
        self.note(page.entries)

    def _behind_head(self, page: Page) -> str:
        """The key to list after next; empty when there is nothing more, as below."""
        backlog = self.backlog
        if not page.truncated:
            backlog.position, backlog.swept, backlog.last_sweep = "", 0, 0
            return ""
        end = page.entries[-1].key
        if self.most_pages == 1:
            backlog.position = end
            return end
        if backlog.position is None:
            backlog.position = ""
            self._seek = _Seek(page.entries[0].key, end)
            return self._seek.draw_key(self.draw)
        return max(backlog.position, end)

    def _swept(self, page: Page) -> str:
        if self._seek is not None:
            return self._sought(self._seek, page)
        backlog = self.backlog
        backlog.swept += 1
        if not page.truncated:
            backlog.position, backlog.last_sweep, backlog.swept = "", backlog.swept, 0
            return ""
        backlog.position = page.entries[-1].key
        return backlog.position

    def _sought(self, seek: "_Seek", page: Page) -> str:
        """Of a process's first tick: the first page that is not empty is where its sweep goes on.
        The others are seen besides."""
        if page.entries:
            first, last = page.entries[0].key, page.entries[-1].key
            self._seek = replace(seek, first=first, last=last)
            self.backlog.position = self.backlog.position or last
        else:
            self._seek = replace(seek, empty_from=self._after)
        return self._seek.draw_key(self.draw)

    def _trim(self) -> None:
        """Keep what comes first of each route, and as much as it has free slots. What is stopped
        must not take the places of what goes on: it is listed again in the sweep after the lift."""
        kept: Counter[tuple[bool, str | None]] = Counter()
        self.backlog.forget(self.held_up)
        for job in self.order.sort(self.waiting):
            route = (job.model is None, self.order.route_of(job.model))
            kept[route] += 1
            if kept[route] > max(self.kept, self.slots.free.get(route[1], 0)):
                self.backlog.forget([job])


@dataclass(frozen=True)
class _Seek:
    """A place to begin, behind a page that was listed."""

    first: str
    last: str
    """The page's keys."""
    empty_from: str | None = None
    """There is nothing from this key on."""

    def draw_key(self, draw: Callable[[], float]) -> str:
        """A key behind the page: as its last one up to some character, greater in that one, and
        random from there on. Mostly a character up to which all keys of the page are alike: what
        lies far behind differs there."""
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(self.first, self.last, strict=False))
        shared = sum(1 for _ in alike)
        for _ in range(SEEKS * SEEKS):
            cuts = (shared, shared, shared, len(self.last))[_index(draw(), 4)]
            cut = len(INBOX) + _index(draw(), cuts - len(INBOX) + 1)
            above = [each for each in CHARACTERS if each > self.last[cut : cut + 1]]
            if not above:
                continue
            # Names are dense: the next character up is likelier to lead somewhere than the last.
            following = above[_index(draw() * draw(), len(above))]
            tail = "".join(CHARACTERS[_index(draw(), len(CHARACTERS))] for _ in range(4))
            key = self.last[:cut] + following + tail
            if self.empty_from is None or key < self.empty_from:
                return key
        return self.last


def _index(share: float, length: int) -> int:
    return min(int(share * length), length - 1)
