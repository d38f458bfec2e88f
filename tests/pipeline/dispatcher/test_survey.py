from dataclasses import replace

from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.survey import Surveyor, by_tenant, free_slots
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture


def surveyor(pipeline: PipelineFixture) -> Surveyor:
    d = pipeline.dispatcher
    return Surveyor(d.store, d.lease_cache, d.runtime, d.pool)


def lease(id: str, **changes: object) -> Lease:
    values: dict[str, object] = {
        "entry": f"inbox/{id}.json",
        "model": "flux-dev",
        "tenant": None,
        "attempt": 1,
        "claim": "c",
        "nonce": "c",
        "owner": "other",
        "phase": Phase.RUNNING,
        "ttl_s": 60,
        "submitted_at": NOON,
    }
    return Lease.model_validate({"id": id, **values, **changes})


def put(pipeline: PipelineFixture, lease: Lease) -> None:
    pipeline.store.raw.put(f"leases/{lease.id}.json", lease.body(), Always())


def test_a_lease_of_another_dispatcher_is_read_once(pipeline: PipelineFixture) -> None:
    put(pipeline, lease("a"))
    looks = [surveyor(pipeline).look() for _ in range(3)]
    assert [look.reads for look in looks] == [1, 0, 0]
    assert [held.lease and held.lease.id for held in looks[2].held] == ["a"]


def test_a_renewed_lease_is_not_read_again_while_it_is_young(pipeline: PipelineFixture) -> None:
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    put(pipeline, lease("a", seq=1))
    pipeline.pass_time(25)
    assert surveyor(pipeline).look().reads == 0
    pipeline.pass_time(1)
    look = surveyor(pipeline).look()
    assert look.reads == 1
    assert [held.lease and held.lease.seq for held in look.held] == [1]


def test_what_is_in_flight_is_known_from_leases_that_changed_since(
    pipeline: PipelineFixture,
) -> None:
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    put(pipeline, lease("a", seq=1))
    assert surveyor(pipeline).look().slots.of("flux-dev") == 15


def test_retries_and_owed_events_take_no_place(pipeline: PipelineFixture) -> None:
    put(pipeline, lease("a", phase=Phase.RETRY, not_before=NOON))
    put(pipeline, lease("b"))
    look = surveyor(pipeline).look()
    assert [each.id for each in look.in_flight] == ["b"]
    assert look.slots.of("flux-dev") == 15


def test_a_lease_that_went_is_forgotten(pipeline: PipelineFixture) -> None:
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    pipeline.store.delete("leases/a.json")
    assert surveyor(pipeline).look().held == ()
    assert not pipeline.dispatcher.lease_cache.is_known("a")


def test_bytes_that_are_no_lease_are_known_as_such(pipeline: PipelineFixture) -> None:
    pipeline.store.write("leases/a.json", b"?", "text/plain")
    look = surveyor(pipeline).look()
    (held,) = look.held
    assert (held.lease, held.unreadable) == (None, True)
    assert surveyor(pipeline).look().reads == 0


def test_all_pages_of_leases_are_listed(pipeline: PipelineFixture) -> None:
    for n in range(1001):
        put(pipeline, lease(f"job-{n:04}"))
    look = surveyor(pipeline).look()
    assert len(look.held) == 1001
    assert look.lists == 3
    assert look.slots.of("flux-dev") == 0


def test_a_full_route_that_may_have_changed_is_read_again(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(routes="[routes.Flux]\nmax_in_flight = 1\n")
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    pipeline.submit("b", body(tenant="acme"), key="inbox/4.acme.flux-dev.b.json")
    put(pipeline, lease("a", seq=2, phase=Phase.RETRY, not_before=NOON))
    look = surveyor(pipeline).look()
    assert (look.scan.skipped, look.reads) == (True, 1)
    assert surveyor(pipeline).look().slots.of("flux-dev") == 1


def test_the_inbox_is_read_no_further_than_the_setting_allows(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(max_list_pages=2)
    for n in range(2500):
        pipeline.submit("", key=f"inbox/NO {n}.json")
    look = surveyor(pipeline).look()
    assert look.lists == 3
    assert len(look.scan.invalid_entries) == 2000


def test_a_full_tenants_entries_are_skipped_by_the_listing(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(routes="[routes.Flux]\nmax_in_flight = 2\n")
    for tenant, count in (("aa", 3000), ("bb", 1)):
        for n in range(count):
            pipeline.submit("", key=f"inbox/4.{tenant}.flux-dev.{tenant}-{n:04}.json")
    look = surveyor(pipeline).look()
    assert look.lists == 3
    assert {each.name.tenant for each in look.scan.waiting} == {"aa", "bb"}


def test_each_route_has_places_of_its_own(pipeline: PipelineFixture) -> None:
    taken = [lease("a"), lease("b", model="flux-schnell"), lease("c", model="unheard-of")]
    slots = free_slots(pipeline.runtime, taken)
    assert slots.of("flux-dev") == slots.of("flux-schnell") == 14
    assert slots.free["ZImage"] == 16
    assert replace(slots, free={"Flux": 0, "ZImage": 3}).of(None) == 0


def test_jobs_in_flight_are_counted_by_the_tenant_in_their_key() -> None:
    leases = [
        lease("a", entry="inbox/4.acme.flux-dev.a.json"),
        lease("b", entry="inbox/4.acme.flux-dev.b.json"),
        lease("c", tenant="acme"),
    ]
    assert by_tenant(leases) == {"acme": 2, None: 1}
