from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dispatcher.survey import free_slots, service_order
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.inbox import Inbox
from pipeline.forecast.what_if import what_if
from pipeline.queue.admission import admit
from tests.support.forecasts import cloud, job
from tests.support.report_results import NOON

RUNTIME = cloud()
NARROW = what_if("max_in_flight=4").apply(RUNTIME)


def test_only_as_many_equals_are_looked_at_as_have_slots() -> None:
    inbox, slots = Inbox(), free_slots(RUNTIME, [])
    for n in range(40):
        inbox.add(job(f"acme-{n:02}", RUNTIME, tenant="acme"))
        inbox.add(job(f"nova-{n:02}", RUNTIME, tenant="nova", priority=7))

    first = inbox.first(slots)
    assert len(first) == 2 * 16
    assert {"acme-00", "acme-15", "nova-15"} <= first.keys()
    assert "acme-16" not in first


EACH = st.tuples(
    st.sampled_from(["acme", "nova"]),
    st.integers(5, 6),
    st.sampled_from([None, "muse"]),
    st.integers(0, 900),
    st.booleans(),
)


@given(st.lists(EACH, max_size=25), st.lists(EACH, max_size=3))
@settings(max_examples=40)
def test_what_is_admitted_is_what_would_be_of_all(
    waiting: list[tuple[str, int, str | None, int, bool]],
    running: list[tuple[str, int, str | None, int, bool]],
) -> None:
    leases = [each.lease() for each in made("running", running)]
    slots, order = free_slots(NARROW, leases), service_order(NARROW, leases, NOON)
    jobs = made("job", waiting)
    inbox = Inbox()
    for each in sorted(jobs, key=lambda job: (job.waiting.entry.last_modified, job.id)):
        inbox.add(each)

    first = [each.waiting for each in inbox.first(slots).values()]
    assert admit(first, slots, order) == admit([job.waiting for job in jobs], slots, order)


def made(name: str, asked: list[tuple[str, int, str | None, int, bool]]) -> list[ExpectedJob]:
    return [
        job(
            f"{name}-{n:02}",
            RUNTIME,
            tenant=tenant,
            priority=priority,
            older_s=age,
            bare=bare,
            model="flux-dev" if lora is None else "flux-lora",
            input={} if lora is None else {"lora_id": lora},
        )
        for n, (tenant, priority, lora, age, bare) in enumerate(asked)
    ]


def test_it_is_empty_when_all_were_removed() -> None:
    inbox = Inbox()
    assert not inbox
    only = job("one", RUNTIME)
    inbox.add(only)
    assert inbox
    inbox.remove(only)
    assert not inbox
