from pipeline.dispatcher.survey import free_slots
from pipeline.forecast.inbox import Inbox
from tests.support.forecasts import cloud, job

RUNTIME = cloud()


def test_only_as_many_equals_are_looked_at_as_have_slots() -> None:
    inbox, slots = Inbox(), free_slots(RUNTIME, [])
    for n in range(40):
        inbox.add(job(f"acme-{n:02}", RUNTIME, tenant="acme"))
        inbox.add(job(f"nova-{n:02}", RUNTIME, tenant="nova", priority=7))

    first = inbox.first(slots)
    assert len(first) == 2 * 16
    assert {"acme-00", "acme-15", "nova-15"} <= first.keys()
    assert "acme-16" not in first


def test_it_is_empty_when_all_were_removed() -> None:
    inbox = Inbox()
    assert not inbox
    only = job("one", RUNTIME)
    inbox.add(only)
    assert inbox
    inbox.remove(only)
    assert not inbox
