"""What is sent and what goes wrong in a chaos run, and when: all of it from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from pipeline.contract.keys import INBOX, inbox_key
from tests.support.manifests import body

MODEL = "flux-dev"
TENANTS = ("acme", "globex", "initech")


class Intent(StrEnum):
    """What becomes of a job if nothing disturbs it."""

    SUCCEEDS = "succeeds"
    RETRIED = "retried"
    """Its first attempt breaks."""
    FAILS = "fails"
    REFUSED = "refused"


class Form(StrEnum):
    FIRST = "first"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Another body for a used id."""
    MALFORMED = "malformed"
    """A name that is no job's."""


@dataclass(frozen=True)
class Sending:
    at_s: float
    form: Form
    id: str
    key: str
    body: bytes


@dataclass(frozen=True)
class Cancel:
    at_s: float
    id: str


class Mischief(StrEnum):
    DISPATCHER_KILLED = "dispatcher killed"
    DISPATCHER_RESTARTED = "dispatcher restarted"
    """Orderly, by SIGTERM."""
    DISPATCHER_STOPPED = "dispatcher stopped"
    """By SIGSTOP, and continued."""
    WORKER_KILLED = "worker killed"
    WORKER_STOPPED = "worker stopped"
    COMFYUI_KILLED = "comfyui killed"
    STORE_KILLED = "store killed"
    STORE_STOPPED = "store stopped"
    ALL_KILLED = "all killed"
    """Store, dispatchers and workers at once, as when a machine loses its power."""
    POSTHOG_HANGS = "posthog hangs"
    POSTHOG_FAILS = "posthog fails"
    """500."""
    POSTHOG_REFUSES = "posthog refuses"
    """Connections."""


WEIGHTS = {
    Mischief.DISPATCHER_KILLED: 4,
    Mischief.DISPATCHER_RESTARTED: 3,
    Mischief.DISPATCHER_STOPPED: 3,
    Mischief.WORKER_KILLED: 5,
    Mischief.WORKER_STOPPED: 4,
    Mischief.COMFYUI_KILLED: 3,
    Mischief.STORE_KILLED: 2,
    Mischief.STORE_STOPPED: 2,
    Mischief.ALL_KILLED: 1,
    Mischief.POSTHOG_HANGS: 2,
    Mischief.POSTHOG_FAILS: 1,
    Mischief.POSTHOG_REFUSES: 1,
}


@dataclass(frozen=True)
class Blow:
    at_s: float
    mischief: Mischief
    pick: float
    """From 0 to 1: which of those there are then."""
    lasts_s: float


@dataclass(frozen=True)
class Plan:
    seed: int
    seconds: float
    """From the first sending to the last blow."""
    intents: dict[str, Intent]
    """By the id of each job."""
    sendings: Sequence[Sending]
    cancels: Sequence[Cancel]
    blows: Sequence[Blow]

    def sent(self, form: Form) -> list[Sending]:
        return [each for each in self.sendings if each.form is form]


def make_plan(jobs: int, seed: int, seconds: float, every_s: float = 2.0) -> Plan:
    """So many jobs over so many seconds, and a blow each `every_s` seconds on average."""
    random = Random(seed)
    intents, sendings, cancels = dict[str, Intent](), list[Sending](), list[Cancel]()
    for number in range(jobs):
        id = f"job-{number:05}"
        at = random.uniform(0, seconds * 0.9)
        intents[id] = random.choices([*Intent], (80, 8, 6, 6))[0]
        sendings += _sendings_of(id, intents[id], at, random)
        if random.random() < 0.1:
            cancels.append(Cancel(at + random.uniform(0, 2), id))
    for number in range(jobs // 15):
        key = f"{INBOX}Not-A-Job.{number}.txt"
        at = random.uniform(0, seconds * 0.9)
        sendings.append(Sending(at, Form.MALFORMED, "", key, b"note %d" % number))
    return Plan(
        seed,
        seconds,
        intents,
        sorted(sendings, key=lambda each: each.at_s),
        sorted(cancels, key=lambda each: each.at_s),
        _blows(random, seconds, every_s),
    )


def _sendings_of(id: str, intent: Intent, at: float, random: Random) -> list[Sending]:
    tenant, priority = random.choice(TENANTS), random.randint(0, 9)
    slow = random.choice(("", "", f"[[fault:slow={random.uniform(0.2, 1.5):.1f}]] "))
    own = _body(id, intent, tenant, priority, slow)
    keys = [f"{INBOX}{id}.json", inbox_key(id, priority=priority, tenant=tenant, model=MODEL)]
    random.shuffle(keys)
    found = [Sending(at, Form.FIRST, id, keys[0], own)]
    if random.random() < 0.15:
        later = at + random.choice((0.0, random.uniform(0, 8)))
        found.append(Sending(later, Form.DUPLICATE, id, random.choice(keys), own))
    if random.random() < 0.08:
        other = body(f"another than {id}", model=MODEL, tenant=tenant, priority=priority)
        # Under the other key, or the store would refuse it while the first one waits.
        later = at + random.uniform(0, 8)
        found.append(Sending(later, Form.CONFLICT, id, keys[1], other))
    return found


def _body(id: str, intent: Intent, tenant: str, priority: int, slow: str) -> bytes:
    prompts = {
        Intent.SUCCEEDS: f"a picture for {id}",
        Intent.RETRIED: f"[[fault:die@1]] a picture for {id}",
        Intent.FAILS: f"[[fault:error]] no picture for {id}",
    }
    if intent is Intent.REFUSED:
        return body(id, model=MODEL, tenant=tenant, priority=priority, promt="misspelt")
    return body(slow + prompts[intent], model=MODEL, tenant=tenant, priority=priority)


def _blows(random: Random, seconds: float, every_s: float) -> list[Blow]:
    found, at = list[Blow](), random.expovariate(1 / every_s)
    while at < seconds:
        mischief = random.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
        longest_s = 10.0 if mischief is Mischief.STORE_KILLED else 5.0
        found.append(Blow(at, mischief, random.random(), random.uniform(0.5, longest_s)))
        at += random.expovariate(1 / every_s)
    return found
