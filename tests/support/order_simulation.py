"""Jobs that come, wait, are served and go, in virtual time: the real scan and the real admission
over a bucket in memory, with nothing else around them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.contract.keys import DEFAULT_PRIORITY, INBOX, InboxName, inbox_key
from pipeline.queue.admission import Contents, ServiceOrder, Share, Slots, Waiting, admit
from pipeline.queue.backlog import KEPT, Backlog, Scan
from pipeline.store.base import Always
from pipeline.store.memory import MemoryStore

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUTES: dict[str | None, str] = {
    "flux-dev": "Flux",
    "flux-schnell": "Flux",
    "z-image-turbo": "ZImage",
}


@dataclass(frozen=True)
class Job:
    id: str
    priority: int
    tenant: str
    model: str
    service_s: float
    bare: bool
    submitted_s: float
    lora: str | None

    @property
    def key(self) -> str:
        if self.bare:
            return InboxName(DEFAULT_PRIORITY, None, None, self.id).key
        return inbox_key(self.id, priority=self.priority, tenant=self.tenant, model=self.model)


@dataclass(frozen=True)
class Started:
    job: Job
    at_s: float

    @property
    def waited_s(self) -> float:
        return self.at_s - self.job.submitted_s


@dataclass(frozen=True)
class Tick:
    started: tuple[Started, ...]
    lists: int
    """Of the inbox."""
    bodies: int
    known: int
    """Candidates in memory after it."""
    listed: frozenset[str]
    """Keys on its pages."""
    left: Slots
    """Free slots after it."""


@dataclass
class OrderSimulation:
    slots: Mapping[str, int] = field(default_factory=lambda: {"Flux": 4})
    aging_s: float = 300.0
    page: int = 1000
    kept: int = KEPT
    most_pages: int = 50
    draw: Callable[[], float] = lambda: 0.5
    now_s: float = 0.0
    started: dict[str, Started] = field(default_factory=dict)
    _waiting: dict[str, Job] = field(default_factory=dict)
    _running: list[tuple[float, Job]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bucket = MemoryStore(self._now)
        self.new_process()

    def new_process(self) -> None:
        """The dispatcher is another one, and remembers nothing."""
        self.backlog = Backlog()

    def _now(self) -> datetime:
        return START + timedelta(seconds=self.now_s)

    def submit(
        self,
        id: str,
        *,
        priority: int = DEFAULT_PRIORITY,
        tenant: str = "acme",
        model: str = "flux-dev",
        service_s: float = 10.0,
        bare: bool = False,
        lora: str | None = None,
    ) -> Job:
        job = Job(id, priority, tenant, model, service_s, bare, self.now_s, lora)
        self.bucket.put(job.key, b"", Always())
        self._waiting[job.key] = job
        return job

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def bucket_keys(self) -> list[str]:
        """Of the jobs that wait."""
        return list(self._waiting)

    def tick(self, seconds: float = 1.0) -> Tick:
        """One look after so many seconds."""
        self.now_s += seconds
        self._running = [(end, job) for end, job in self._running if end > self.now_s]
        running = [job for _, job in self._running]
        taken = Counter(ROUTES[job.model] for job in running)
        free: dict[str | None, int] = {
            route: most - taken[route] for route, most in self.slots.items()
        }
        slots = Slots(free, ROUTES.get)
        scan = Scan(
            self.backlog,
            ServiceOrder(self._now(), self.aging_s, ROUTES.get, _shares(running), _loras(running)),
            slots,
            frozenset(),
            self.most_pages,
            self.draw,
            self.kept,
        )
        lists, listed = self._list(scan)
        bodies = self._read(scan)
        admitted = admit(scan.waiting, slots, scan.order)
        self.backlog.forget(admitted)
        started = tuple(started for each in admitted if (started := self._start(each)))
        for each in started:
            slots = slots.without(each.job.model)
        return Tick(started, lists, bodies, len(self.backlog.known), listed, slots)

    def run(self, seconds: float, step_s: float = 1.0) -> None:
        until = self.now_s + seconds
        while self.now_s < until:
            self.tick(step_s)

    def wait_s(self, id: str) -> float | None:
        """How long a job waited, None while it does."""
        started = self.started.get(id)
        return None if started is None else started.waited_s

    def _list(self, scan: Scan) -> tuple[int, frozenset[str]]:
        after: str | None = scan.begin()
        lists, listed = 0, set[str]()
        while after is not None:
            page = self.bucket.list(INBOX, start_after=after, limit=self.page)
            lists += 1
            listed.update(entry.key for entry in page.entries)
            after = scan.take(page)
        return lists, frozenset(listed)

    def _read(self, scan: Scan) -> int:
        unread = scan.unread()
        for each in unread:
            job = self._waiting[each.entry.key]
            loras = () if job.lora is None else (job.lora,)
            self.backlog.learn(each.entry, Contents(job.tenant, job.model, loras))
        return len(unread)

    def _start(self, admitted: Waiting) -> Started | None:
        job = self._waiting.pop(admitted.entry.key, None)
        if job is None:  # somebody else claimed it
            return None
        self.bucket.delete(job.key)
        self._running.append((self.now_s + job.service_s, job))
        self.started[job.id] = Started(job, self.now_s)
        return self.started[job.id]


def _shares(running: list[Job]) -> Counter[Share]:
    return Counter((job.tenant, ROUTES[job.model]) for job in running)


def _loras(running: list[Job]) -> dict[str | None, frozenset[str]]:
    routes = {ROUTES[job.model] for job in running}
    return {
        route: frozenset(job.lora for job in running if job.lora and ROUTES[job.model] == route)
        for route in routes
    }
