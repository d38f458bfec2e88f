"""Every call of `ryla forget` goes wrong once, in every way, and the same command ends the same."""

import pytest

from config.errors import StoreUnavailable
from pipeline.erasure.scope import Wish
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.pipeline.conftest import MakePipeline
from tests.support.audits import audited, found
from tests.support.erasures import (
    bodies,
    eraser,
    is_forgotten,
    keys_but_spend,
    make_everything,
    manifest,
    put_face,
    tombstones,
)
from tests.support.faulty_store import Died, Fault, FaultyStore
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets

KILLS = (Fault.DIES_BEFORE, Fault.DIES_AFTER)
BRIEF = (Fault.DIES_AFTER, Fault.REPLY_LOST)
THOROUGH = pytest.mark.thorough


def process(
    pipeline: PipelineFixture, fault: Fault | None, at: int
) -> tuple[SafeStore, FaultyStore]:
    """A process's way to the bucket, whose call number `at` goes wrong."""
    faulty = FaultyStore(pipeline.raw._store, lambda number: fault if number == at else None)
    safe = SafeStore(
        faulty,
        conditional_delete=False,
        tries=3,
        sleep=lambda _: None,
        monotonic=lambda: 0.0,
    )
    return safe, faulty


def restore(pipeline: PipelineFixture, objects: dict[str, bytes]) -> None:
    store = pipeline.raw._store
    assert isinstance(store, MemoryStore)
    for key in pipeline.keys(""):
        store.delete(key)
    for key, content in objects.items():
        store.put(key, content, Always())


def check_all(
    pipeline: PipelineFixture, wish: Wish, ids: tuple[str, ...], faults: tuple[Fault, ...]
) -> int:
    """How many calls there were, each of which went wrong once in each of these ways."""
    start = bodies(pipeline)
    noon = pipeline.now
    safe, counted = process(pipeline, None, -1)
    eraser(pipeline, safe).erase(wish)
    ended = pipeline.keys("")
    calls = len(counted.calls)
    for fault in faults:
        for at in range(calls):
            pipeline.now = noon
            restore(pipeline, start)
            safe, _ = process(pipeline, fault, at)
            try:
                eraser(pipeline, safe).erase(wish)
            except (Died, StoreUnavailable):
                assert fault in KILLS, fault
                eraser(pipeline).erase(wish)
            assert pipeline.keys("") == ended, f"{fault} at call {at} of {calls}"
            assert all(is_forgotten(pipeline, id) for id in ids), f"{fault} at {at} of {calls}"
            assert found(audited(pipeline)) == []
    return calls


@pytest.fixture
def running(make_pipeline: MakePipeline) -> PipelineFixture:
    """A job with a picture is on its way to a worker, and a duplicate of it waits."""
    pipeline = make_pipeline(holding=True)
    put_face(pipeline, "acme")
    pipeline.submit("one", manifest())
    pipeline.tick()
    assert pipeline.held.payloads
    pipeline.submit("one", manifest())
    return pipeline


@pytest.mark.parametrize(
    "fault", [each if each in BRIEF else pytest.param(each, marks=THOROUGH) for each in Fault]
)
def test_each_call_may_go_wrong(running: PipelineFixture, fault: Fault) -> None:
    calls = check_all(running, Wish(job="one"), ("one",), (fault,))
    assert calls > 30
    assert keys_but_spend(running) == tombstones("one")


@pytest.mark.thorough
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(
    "wish", [Wish(job="sheet"), Wish(tenant="acme", subject="Ann")], ids=["job", "subject"]
)
def test_each_call_for_a_sheet_and_its_redo_may_go_wrong(
    make_pipeline: MakePipeline, wish: Wish, fault: Fault
) -> None:
    sheets = Sheets(make_pipeline())
    make_everything(sheets)
    check_all(sheets.pipeline, wish, ("sheet", "sheet-r2"), (fault,))
