from dataclasses import dataclass, field

from config.errors import Stopped
from pipeline.cli.wait_notes import ASK_SECONDS, WaitNotes
from pipeline.contract.error_info import error_info
from pipeline.contract.lease import Phase
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.stops import ScopeKind, StopNote, StopScope
from pipeline.jobs.hold_ups import HoldUps
from pipeline.jobs.status import JobView, State
from pipeline.queue.stops import StandingStop
from tests.support.jobs import NOW, a_lease
from tests.support.manifests import body

ACME = StopScope(ScopeKind.TENANT, "acme")


@dataclass
class Told:
    """What was said, in a time that a test turns."""

    scopes: list[StopScope]
    lines: list[str] = field(default_factory=list)
    asked: int = 0
    now: float = 0.0

    def read(self) -> HoldUps:
        self.asked += 1
        return HoldUps(tuple(StandingStop(scope, StopNote(), NOW) for scope in self.scopes))

    def notes(self) -> WaitNotes:
        manifests = {"a": parse_manifest(body(tenant="acme"))}
        return WaitNotes(self.read, manifests, self.lines.append, lambda: self.now)


def waiting(*ids: str) -> list[JobView]:
    return [JobView(id, State.WAITING) for id in ids]


def test_a_job_that_was_sent_from_here_is_told_why_it_waits_and_once() -> None:
    told = Told([ACME])
    notes = told.notes()
    notes.tell(waiting("a", "unknown"))
    notes.tell(waiting("a", "unknown"))
    since = f"{NOW:%Y-%m-%d %H:%M}"
    assert told.lines == [f"1 job waits: an operator has stopped tenant acme since {since} UTC"]
    assert told.asked == 1


def test_it_is_asked_for_again_after_a_while_and_said_again_after_a_lift() -> None:
    told = Told([ACME])
    notes = told.notes()
    for scopes in ([ACME], [], [ACME]):
        told.scopes = scopes
        notes.tell(waiting("a"))
        told.now += ASK_SECONDS
    assert len(told.lines) == 2
    assert told.asked == 3


def test_nothing_is_asked_while_no_job_waits() -> None:
    told = Told([ACME])
    told.notes().tell([JobView("a", State.RUNNING), JobView("b", State.FINISHED)])
    assert (told.asked, told.lines) == (0, [])


def test_a_lease_that_was_handed_back_says_why_where_it_is_not_known_here() -> None:
    error = error_info(Stopped("an operator has stopped kind flux-dev"))
    lease = a_lease(phase=Phase.RETRY, error=error)
    told = Told([])
    told.notes().tell([JobView(id, State.RETRY, lease=lease) for id in ("x", "y")])
    assert told.lines == ["2 jobs wait: an operator has stopped kind flux-dev"]
