"""What a search is about: the actors, the bodies, and how often each thing may go wrong."""

from dataclasses import dataclass

from pipeline.contract.keys import InboxName

ID = "job"
KEYS = (InboxName(5, None, None, ID).key, InboxName(5, "acme", "flux-dev", ID).key)
BODY = b'{"version":1,"model":"flux-dev","tenant":"acme","input":{"prompt":"a fox"}}'
OTHER_BODY = BODY.replace(b"fox", b"cat")
BAD_BODY = b"{"
HOST = "backend.example.com"
CALLBACK_URL = f"https://{HOST}/told"
CALLING_BODY = BODY.replace(b'"input"', f'"callback_url":"{CALLBACK_URL}","input"'.encode())

State = tuple[int, ...]

# Places in a state. The first five are the bucket, and so are the records of a sheet, and whether
# an operator's stop stands.
INBOX, INBOX_2, LEASE, MANIFEST, RESULT, MARKS, BUDGET, SPAWNED, STARTED, LATE, STOPPED = range(11)
CELLS = 11
"""The records of a sheet's steps."""
MAX_STEPS = 2
ACTORS = CELLS + MAX_STEPS
"""Two dispatchers, a canceller, workers."""
CANCELLER = ACTORS + 2
WORKERS = ACTORS + 3
MAX_WORKERS = 3
REFS = WORKERS + MAX_WORKERS
"""What each worker was spawned with, as long as the platform may run it again."""

# Marks.
TAKEN_OVER, DELIVERED, WITHDRAWN, WON, FILED, SWAPPED, CALLED, OVERFLOWED = (
    1 << bit for bit in range(8)
)

# Faults, each with its own budget of 0 to 7.
CRASH, LOST, LATE_WRITE, SUBMIT, WITHDRAW, RERUN, REFUSE, UNDELIVERED, GIVE_BACK, YIELD = range(10)
STOP, LIFT = 10, 11
FREE = -1
"""No fault: an outcome that costs nothing."""


def one(fault: int) -> int:
    """One of this fault, in the number that holds all budgets."""
    return 1 << 3 * fault


@dataclass(frozen=True)
class Scenario:
    ticks: tuple[int, int] = (1, 1)
    """Jobs that each dispatcher takes at most."""
    crash: int = 0
    """An actor dies."""
    lost: int = 0
    """A reply is lost, the call carried out or not."""
    late_write: int = 0
    """A reply is lost, and the write is applied at any later time."""
    submit: int = 0
    """The producer puts the id again."""
    withdraw: int = 0
    """The producer takes its entry back."""
    rerun: int = 0
    """The platform runs an input again."""
    refuse: int = 0
    """The engine says that it did not take the job, which may be untrue."""
    undelivered: int = 0
    """Events or a callback are not taken."""
    give_back: int = 0
    """A worker meets an error that may pass."""
    yields: int = 0
    """A sheet's execution makes room for others between two of its steps."""
    stop: int = 0
    """An operator stops the job."""
    stop_is_budget: bool = False
    """Whether it is a budget without room instead: it ends no execution, and no worker asks."""
    lift: int = 0
    """The operator lifts that."""
    steps: int = 0
    """Of the sheet that the job is; 0 for a job of one step."""
    renewals: int = 0
    """Of each execution."""
    cancel: bool = False
    platforms: tuple[str, ...] = ()
    """Of the job's route, in order."""
    body: bytes = BODY
    resubmitted: tuple[bytes, ...] = (BODY,)
    conditional_delete: bool = False
    """Whether the store's DELETE honours If-Match. Nothing but the window of a conflicting body
    depends on it."""
    keys: int = 1
    """Inbox keys that the id is put under."""
    stranger: bool = False
    """Whether the job begins beside a lease that is none."""
    spawns: int = 2
    """At most; a dispatcher that would spawn one more dies."""
    max_attempts: int = 3

    @property
    def worker_looks(self) -> bool:
        return bool(self.stop) and not self.stop_is_budget

    @property
    def callback_url(self) -> str | None:
        return CALLBACK_URL if self.body == CALLING_BODY else None

    def budget(self) -> int:
        amounts = {
            CRASH: self.crash,
            LOST: self.lost,
            LATE_WRITE: self.late_write,
            SUBMIT: self.submit,
            WITHDRAW: self.withdraw,
            RERUN: self.rerun,
            REFUSE: self.refuse,
            UNDELIVERED: self.undelivered,
            GIVE_BACK: self.give_back,
            YIELD: self.yields,
            STOP: self.stop,
            LIFT: self.lift,
        }
        return sum(amount * one(fault) for fault, amount in amounts.items())
