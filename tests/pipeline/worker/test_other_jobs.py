from datetime import UTC, datetime
from pathlib import Path

from config.settings import Settings
from pipeline.contract.lease import Phase
from pipeline.runtime import load_runtime
from pipeline.store.base import Always, OutcomeUnknown
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.worker.other_jobs import OtherJobs
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import CountingStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWN = a_lease(
    id="sheet",
    entry="inbox/sheet.json",
    tenant="default",
    phase=Phase.RUNNING,
    ttl_s=60,
    submitted_at=NOON,
)


def a_store() -> tuple[CountingStore, SafeStore]:
    raw = CountingStore(MemoryStore(lambda: NOON))
    store = SafeStore(raw, tries=1, sleep=lambda _: None, monotonic=lambda: 0.0)
    raw.put("leases/sheet.json", OWN.body(), Always())
    return raw, store


def test_a_look_is_one_list_of_each_and_reads_nothing_twice(tmp_path: Path) -> None:
    runtime = load_runtime(Settings(state_dir=tmp_path), "local")
    raw, store = a_store()
    raw.put("inbox/a.json", body(), Always())
    others = OtherJobs()
    for reads in (2, 0):  # the own lease and a bare key's body
        raw.calls.clear()
        assert not others.wait_for(OWN, store, runtime)
        assert (raw.calls["LIST"], raw.calls["GET"]) == (3, reads)


def test_who_waits_is_seen(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text("[routes.Flux]\nmax_in_flight = 1\n")
    runtime = load_runtime(Settings(routes_file=routes), "local")
    raw, store = a_store()
    raw.put("inbox/a.json", body(), Always())
    assert OtherJobs().wait_for(OWN, store, runtime)


def test_a_store_that_is_away_is_no_reason_to_stop(tmp_path: Path) -> None:
    runtime = load_runtime(Settings(state_dir=tmp_path), "local")
    raw, store = a_store()
    raw.fail = lambda call, key: OutcomeUnknown("away")
    assert not OtherJobs().wait_for(OWN, store, runtime)
