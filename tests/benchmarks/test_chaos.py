"""A short run in which everything is killed, and what its checks are worth: each promise that is
broken in a bucket by hand is named."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.chaos import run
from benchmarks.chaos_outcome import Outcome, Sent, outcome_of
from benchmarks.chaos_plan import Form, Intent, Mischief, Plan, make_plan
from events.sink import MemorySink
from tests.support.pipeline_fixture import PipelineFixture

PLAN = Plan(0, 1.0, {"good": Intent.SUCCEEDS, "bad": Intent.REFUSED}, (), (), ())
CLEAN: dict[str, Any] = {"faults": {}}


@pytest.mark.thorough
def test_every_promise_holds_while_everything_is_killed() -> None:
    outcome = run(jobs=60, seed=3, seconds=22)

    assert outcome.broken == [], outcome.document()
    assert sum(outcome.results.values()) == outcome.audit["jobs"] == 60
    assert outcome.events >= 120
    assert sum(outcome.blows.values()) >= 5
    assert outcome.errors == {}


def test_the_seed_says_what_is_sent_and_what_goes_wrong() -> None:
    assert make_plan(50, 1, 10.0) == make_plan(50, 1, 10.0)
    assert make_plan(50, 1, 10.0) != make_plan(50, 2, 10.0)


def test_a_plan_has_some_of_everything() -> None:
    plan = make_plan(300, 1, 600.0)

    assert len(plan.intents) == len(plan.sent(Form.FIRST)) == 300
    assert all(plan.sent(form) for form in Form)
    assert set(plan.intents.values()) == set(Intent)
    assert {blow.mischief for blow in plan.blows} == set(Mischief)
    assert plan.cancels
    times = [each.at_s for each in plan.sendings]
    assert times == sorted(times)


# ── what came out ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ran() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture()
    pipeline.submit("good")
    pipeline.submit("bad", b"{}")
    pipeline.submit("", b"note", key="inbox/NOTE.txt")
    pipeline.tick()
    pipeline.submit("good", b"another", key="inbox/5.acme.flux-dev.good.json")
    pipeline.tick()
    yield pipeline
    pipeline.close()


def outcome(pipeline: PipelineFixture, **changes: Any) -> Outcome:
    """With these arguments in place of what was really sent and told."""
    sent = Sent()
    sent.stored[Form.FIRST] = ["good", "bad"]
    sent.stored[Form.CONFLICT] = ["good"]
    sent.stored[Form.MALFORMED] = ["inbox/NOTE.txt"]
    names = _names(pipeline)
    told = {
        "sent": sent,
        "deliveries": Counter([*names]),
        "named": names,
        "audit": CLEAN,
        **changes,
    }
    run: dict[str, Any] = {"blows": {}, "ended_by_themselves": {}}
    return outcome_of(PLAN, store=pipeline.safe(), seconds=1.0, quiet_after_s=0.0, **run, **told)


def test_a_run_in_which_all_is_well_breaks_nothing(ran: PipelineFixture) -> None:
    found = outcome(ran)

    assert found.broken == []
    assert found.results == {"succeeded": 1, "rejected": 1}
    assert (found.events, found.rejections, found.rejections_delivered) == (3, 2, 2)
    assert (found.executions, found.errors, found.ends_repeated) == (2, {}, 0)


def lose(pipeline: PipelineFixture) -> Outcome:
    pipeline.raw._store.delete("jobs/good/result.json")
    return outcome(pipeline)


def leave_stuck(pipeline: PipelineFixture) -> Outcome:
    pipeline.submit("later")
    return outcome(pipeline)


def tell_an_end_that_is_none(pipeline: PipelineFixture) -> Outcome:
    names = {"u": "modal_flux_dev_generation_failed", **_names(pipeline)}
    return outcome(pipeline, named=names, deliveries=Counter([*names]))


def ignore_a_cancel(pipeline: PipelineFixture) -> Outcome:
    sent = Sent(cancels={"cancelled": ["good"], "already_finished": ["bad"]})
    return outcome(pipeline, sent=sent)


def drop_a_conflict(pipeline: PipelineFixture) -> Outcome:
    [key] = [key for key in pipeline.keys("rejected/") if "good" in key]
    pipeline.raw._store.delete(key)
    return outcome(pipeline)


def drop_a_note(pipeline: PipelineFixture) -> Outcome:
    [key] = [key for key in pipeline.keys("rejected/") if "NOTE" in key]
    pipeline.raw._store.delete(key)
    return outcome(pipeline)


def deliver_nothing(pipeline: PipelineFixture) -> Outcome:
    return outcome(pipeline, deliveries=Counter())


def find_a_fault(pipeline: PipelineFixture) -> Outcome:
    return outcome(pipeline, audit={"faults": {"lease_left": 2}})


def _names(pipeline: PipelineFixture) -> dict[str, str]:
    assert isinstance(pipeline.sink, MemorySink)
    return {event.uuid: event.event for event in pipeline.sink.events}


BROKEN: dict[Callable[[PipelineFixture], Outcome], list[str]] = {
    lose: ["1 lost", "1 doubled"],
    leave_stuck: ["1 stuck"],
    tell_an_end_that_is_none: ["1 doubled"],
    ignore_a_cancel: ["1 cancels ignored"],
    drop_a_conflict: ["1 unfiled"],
    drop_a_note: ["1 unfiled"],
    deliver_nothing: ["3 events undelivered"],
    find_a_fault: ["2 faults in the audit"],
}


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda breaks: breaks.__name__)
def test_a_promise_that_is_broken_is_named(
    ran: PipelineFixture, breaks: Callable[[PipelineFixture], Outcome]
) -> None:
    assert breaks(ran).broken == BROKEN[breaks]


def test_ends_that_nobody_intended_are_told_apart_by_their_error(ran: PipelineFixture) -> None:
    other = Plan(0, 1.0, {"good": Intent.FAILS, "bad": Intent.SUCCEEDS}, (), (), ())
    told = outcome_of(
        other,
        Sent(),
        ran.safe(),
        Counter(),
        {},
        CLEAN,
        seconds=1.0,
        quiet_after_s=0.0,
        blows={},
        ended_by_themselves={},
    )

    assert told.errors == {
        "fails: succeeded, no error": 1,
        "succeeds: rejected, unsupported_version": 1,
    }
