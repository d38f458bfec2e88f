"""A ring is a look at the bucket, soon and once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from config.errors import StoreDenied
from pipeline.contract.keys import inbox_key
from pipeline.dispatcher.waker import MAX_KEYS, DispatchThread
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.stack import wait_until

FULL = """
[routes.Flux]
max_in_flight = 1
"""


class Watch:
    """A monotonic clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def dispatch_thread(
    pipeline: PipelineFixture, watch: Callable[[], float] | None = None
) -> Iterator[DispatchThread]:
    one = DispatchThread(pipeline.dispatcher, watch or Watch())
    try:
        yield one
    finally:
        one.close()


def key_of(id: str, priority: int = 5) -> str:
    return inbox_key(id, priority=priority, tenant="acme", model="flux-dev")


def put(pipeline: PipelineFixture, id: str, priority: int = 5) -> str:
    key = key_of(id, priority)
    pipeline.submit(id, body(tenant="acme", priority=priority), key=key)
    return key


def lists(pipeline: PipelineFixture) -> int:
    return pipeline.raw.calls["LIST"]


def looked(pipeline: PipelineFixture, one: DispatchThread, key: str | None = None) -> int:
    """Rings, waits until the look is over, and tells how often it listed."""
    before = lists(pipeline)
    one.notify(key)
    assert wait_until(lambda: _rests(one))
    return lists(pipeline) - before


def _rests(one: DispatchThread) -> bool:
    return not one.busy


def test_a_ring_finds_what_waits(holding: PipelineFixture) -> None:
    put(holding, "one")
    with dispatch_thread(holding) as one:
        assert looked(holding, one) == 3
    assert [payload.id for payload in holding.held.payloads] == ["one"]


def test_what_is_to_be_done_before_a_look_is_done_before_each(holding: PipelineFixture) -> None:
    listed: list[int] = []
    one = DispatchThread(holding.dispatcher, before=lambda: listed.append(lists(holding)))
    try:
        assert looked(holding, one) > 0
        looked(holding, one)
    finally:
        one.close()
    assert listed[0] == 0
    assert listed[0] < listed[1] < lists(holding)


def test_without_a_ring_nothing_is_looked_at(holding: PipelineFixture) -> None:
    put(holding, "one")
    with dispatch_thread(holding):
        pass
    assert lists(holding) == 0


def test_an_entry_that_was_heard_of_saves_the_list_of_the_inbox(holding: PipelineFixture) -> None:
    with dispatch_thread(holding) as one:
        looked(holding, one)
        other = put(holding, "other")
        assert looked(holding, one, put(holding, "one")) == 2
        assert [payload.id for payload in holding.held.payloads] == ["one"]
        looked(holding, one, other)
    assert [payload.id for payload in holding.held.payloads] == ["one", "other"]


def test_the_first_look_and_one_after_a_while_are_whole(holding: PipelineFixture) -> None:
    watch = Watch()
    with dispatch_thread(holding, watch) as one:
        assert looked(holding, one, put(holding, "a")) == 3
        assert looked(holding, one, put(holding, "b")) == 2
        watch.now += holding.settings.poll_idle_seconds
        assert looked(holding, one, put(holding, "c")) == 3
    assert len(holding.held.payloads) == 3


def test_who_comes_last_is_not_served_before_those_that_wait(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=FULL)
    with dispatch_thread(pipeline) as one:
        looked(pipeline, one)
        looked(pipeline, one, put(pipeline, "first"))
        looked(pipeline, one, put(pipeline, "urgent", priority=9))
        late = put(pipeline, "late", priority=1)
        assert looked(pipeline, one, late) == 3
        assert [payload.id for payload in pipeline.held.payloads] == ["first"]
        pipeline.raw.delete("leases/first.json")
        assert looked(pipeline, one, late) == 3
    assert [payload.id for payload in pipeline.held.payloads] == ["first", "urgent"]


@pytest.mark.parametrize("key", ["inbox/gone.json", "inbox/no id.json", "elsewhere"])
def test_a_ring_for_an_entry_that_is_not_there_looks_at_all(
    holding: PipelineFixture, key: str
) -> None:
    with dispatch_thread(holding) as one:
        looked(holding, one)
        put(holding, "one")
        assert looked(holding, one, key) == 3
    assert [payload.id for payload in holding.held.payloads] == ["one"]


def test_a_ring_for_a_job_that_is_held_lists_no_inbox(holding: PipelineFixture) -> None:
    with dispatch_thread(holding) as one:
        key = put(holding, "one")
        looked(holding, one)
        assert looked(holding, one, key) == 1
    assert len(holding.held.payloads) == 1


def test_of_many_entries_a_list_tells_more_cheaply(holding: PipelineFixture) -> None:
    with _stuck(holding) as (one, let_go):
        for number in range(MAX_KEYS + 1):
            one.notify(put(holding, f"job-{number:02}"))
        before = lists(holding)
        let_go()
        assert wait_until(lambda: _rests(one))
        assert lists(holding) - before == 3
    assert len(holding.held.payloads) == holding.runtime.routes.route("Flux").max_in_flight


def test_rings_during_a_look_make_one_more_look_and_none_is_lost(holding: PipelineFixture) -> None:
    with _stuck(holding) as (one, let_go):
        put(holding, "late")
        for _ in range(100):
            one.notify()
        before = lists(holding)
        let_go()
        assert wait_until(lambda: _rests(one))
        assert lists(holding) - before == 3
    assert "late" in [payload.id for payload in holding.held.payloads]


@contextmanager
def _stuck(pipeline: PipelineFixture) -> Iterator[tuple[DispatchThread, Callable[[], None]]]:
    """A hearing in the midst of a look that has listed already."""
    inside, go_on = Event(), Event()

    def engine_takes_long(call: str, key: str) -> None:
        if (call, key) == ("PUT", "leases/stuck.json"):
            inside.set()
            assert go_on.wait(30)

    with dispatch_thread(pipeline) as one:
        looked(pipeline, one)
        pipeline.raw.fail = engine_takes_long
        one.notify(put(pipeline, "stuck"))
        assert inside.wait(30)
        yield one, go_on.set


@pytest.mark.parametrize("error", [StoreDenied("403"), RuntimeError("a bug")])
def test_a_look_that_fails_is_logged_and_the_next_ring_is_heard(
    holding: PipelineFixture, error: Exception
) -> None:
    put(holding, "one")
    with dispatch_thread(holding) as one:
        holding.raw.fail = lambda call, key: error
        looked(holding, one)
        holding.raw.fail = lambda call, key: None
        assert looked(holding, one, key_of("one")) == 3
    assert len(holding.held.payloads) == 1


def test_what_was_rung_for_is_seen_to_before_the_end_and_nothing_after(
    holding: PipelineFixture,
) -> None:
    with _stuck(holding) as (one, let_go):
        put(holding, "late")
        one.notify()
        let_go()
        one.close()
        assert "late" in [payload.id for payload in holding.held.payloads]
        before = lists(holding)
        one.notify()
        assert lists(holding) == before
