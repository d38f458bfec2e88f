from pipeline.contract.lease import Phase
from pipeline.queue.lease_cache import LeaseCache
from pipeline.store.base import Entry
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.pipeline_fixture import NOON


def entry(key: str, etag: str = "e1") -> Entry:
    return Entry(key, etag, 100, NOON)


def test_a_lease_is_known_by_its_etag_alone() -> None:
    lease_cache = LeaseCache()
    lease_cache.note("a", "e1", lease("a"))
    same, other = lease_cache.held([entry("leases/a.json"), entry("leases/a.json", "e2")])
    assert same.lease == lease("a")
    assert other.lease is None
    assert not other.unreadable


def test_a_lease_that_was_never_read_is_none_that_cannot_be_read() -> None:
    lease_cache = LeaseCache()
    lease_cache.note("b", "e1", None)
    new, broken = lease_cache.held([entry("leases/a.json"), entry("leases/b.json")])
    assert (new.id, new.lease, new.unreadable) == ("a", None, False)
    assert (broken.id, broken.lease, broken.unreadable) == ("b", None, True)
    lease_cache.note("b", "e1", lease("b"))
    [mended] = lease_cache.held([entry("leases/b.json")])
    assert (mended.lease, mended.unreadable) == (lease("b"), False)


def test_what_is_no_lease_of_a_job_is_passed_over() -> None:
    keys = ["leases/", "leases/x.txt", "leases/UPPER.json", "leases/a/b.json"]
    assert list(LeaseCache().held([entry(key) for key in keys])) == []


def test_places_are_taken_by_all_but_retries_and_jobs_that_are_over() -> None:
    lease_cache = LeaseCache()
    for phase in Phase:
        lease_cache.note(phase.value, "e", lease(phase.value, phase=phase))
        lease_cache.note(f"over-{phase}", "e", lease("a", phase=phase, committed=True))
    ids = [*(phase.value for phase in Phase), *(f"over-{phase}" for phase in Phase)]
    in_flight = lease_cache.in_flight([*ids, "unknown"])
    assert [(each.phase, each.committed) for each in in_flight] == [
        (Phase.CLAIMED, False),
        (Phase.SPAWNED, False),
        (Phase.RUNNING, False),
    ]


def test_a_lease_that_lacks_its_model_is_not_known_yet() -> None:
    lease_cache = LeaseCache()
    lease_cache.note("a", "e", lease("a", model=None))
    assert not lease_cache.is_known("a")
    lease_cache.note("a", "e", lease("a"))
    assert lease_cache.is_known("a")


def test_what_is_gone_is_forgotten() -> None:
    lease_cache = LeaseCache()
    lease_cache.note("a", "e", lease("a"))
    lease_cache.note("b", "e", None)
    lease_cache.keep_only(["b", "c"])
    assert [lease_cache.is_known(id) for id in "abc"] == [False, True, False]
    assert lease_cache.last("b") is None


def test_a_new_cache_and_one_of_which_a_lease_has_gone_say_that_jobs_may_have_ended() -> None:
    lease_cache = LeaseCache()
    assert lease_cache.keep_only([])
    assert not lease_cache.keep_only([])
    for id in ("a", "b"):
        lease_cache.note(id, "e1", lease(id))
    assert not lease_cache.keep_only(["a", "b", "new"])
    assert lease_cache.keep_only(["b"])
    assert not lease_cache.keep_only(["b"])
