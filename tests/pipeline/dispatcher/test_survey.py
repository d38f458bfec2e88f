from collections.abc import Callable
from datetime import timedelta
from random import Random

import pytest

from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.survey import Surveyor, by_share, contents, free_slots, service_order
from pipeline.queue.admission import Contents
from pipeline.queue.backlog import SEEKS
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture


def surveyor(
    pipeline: PipelineFixture,
    dispatcher: Dispatcher | None = None,
    draw: Callable[[], float] = lambda: 0.5,
) -> Surveyor:
    d = dispatcher or pipeline.dispatcher
    return Surveyor(d.store, d.memory.lease_cache, d.memory.backlog, d.runtime, d.pool, draw)


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
    put(pipeline, lease("c", phase=Phase.RETRY, committed=True, not_before=NOON))
    put(pipeline, lease("d", phase=Phase.SPAWNED, committed=True))
    look = surveyor(pipeline).look()
    assert [each.id for each in look.in_flight] == ["b"]
    assert look.slots.of("flux-dev") == 15


def test_a_lease_that_went_is_forgotten(pipeline: PipelineFixture) -> None:
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    pipeline.store.delete("leases/a.json")
    assert surveyor(pipeline).look().held == ()
    assert not pipeline.dispatcher.memory.lease_cache.is_known("a")


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
    pipeline.raw.calls.clear()
    look = surveyor(pipeline).look()
    assert (look.reads, look.lists) == (1, 3)
    assert look.slots.of("flux-dev") == 1
    assert [waiting.name.id for waiting in look.scan.waiting] == ["b"]
    assert pipeline.raw.calls == {"LIST": 3, "GET": 1}


def test_a_full_route_that_stays_full_has_no_slot(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(routes="[routes.Flux]\nmax_in_flight = 1\n")
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    pipeline.submit("b", body(tenant="acme"), key="inbox/4.acme.flux-dev.b.json")
    put(pipeline, lease("a", seq=2))
    look = surveyor(pipeline).look()
    assert (look.slots.of("flux-dev"), look.reads, look.lists) == (0, 1, 3)


def test_what_was_heard_of_is_taken_in_again_once_a_slot_is_free(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(routes="[routes.Flux]\nmax_in_flight = 1\n")
    put(pipeline, lease("a"))
    surveyor(pipeline).look()
    key = "inbox/4.acme.flux-dev.b.json"
    pipeline.submit("b", body(tenant="acme"), key=key)
    put(pipeline, lease("a", seq=2, phase=Phase.RETRY, committed=True, not_before=NOON))
    look = surveyor(pipeline).look([key])
    assert [waiting.entry.key for waiting in look.scan.waiting] == [key]
    assert (look.lists, look.reads) == (2, 1)


def test_the_inbox_is_read_no_further_than_the_setting_allows_and_on_at_the_next_look(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(max_list_pages=2)
    for n in range(3500):
        pipeline.submit("", key=f"inbox/NO {n:04}.json")
    looks = [surveyor(pipeline).look() for _ in range(5)]
    assert [look.lists for look in looks] == [4] * 5
    seen = {entry.key for look in looks for entry in look.scan.invalid_entries}
    assert len(seen) == 3500


def test_the_look_of_a_tenant_that_fills_the_inbox_hides_no_other(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(routes="[routes.Flux]\nmax_in_flight = 2\n")
    for tenant, count in (("aa", 3000), ("bb", 1)):
        for n in range(count):
            pipeline.submit("", key=f"inbox/4.{tenant}.flux-dev.{tenant}-{n:04}.json")
    lists, tenants = [], set()
    for _ in range(4):
        look = surveyor(pipeline).look()
        lists.append(look.lists)
        tenants = {job.tenant for job in look.scan.waiting}
    assert lists[0] <= 2 + SEEKS
    assert lists[1:] == [4, 4, 4]
    assert tenants == {"aa", "bb"}


def test_each_process_begins_elsewhere(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    for n in range(5000):
        id = f"{n * 2654435761 % 2**32:08x}"
        pipeline.submit("", key=f"inbox/4.acme.flux-dev.{id}.json")
    places = set()
    for seed in range(10):
        another = pipeline.another("another")
        surveyor(pipeline, another, Random(seed).random).look()
        places.add(another.memory.backlog.position)
    assert len(places) >= 4


# Bare keys


def submit_bare(pipeline: PipelineFixture, *jobs: tuple[str, str]) -> None:
    for id, model in jobs:
        pipeline.submit(id, body(model=model, tenant="acme"))


ONE_FLUX = "[routes.Flux]\nmax_in_flight = 1\n"


def test_bare_keys_are_read_once_where_not_every_job_finds_a_slot(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(routes=ONE_FLUX)
    submit_bare(pipeline, ("a", "flux-dev"), ("b", "z-image-turbo"))
    looks = [surveyor(pipeline).look() for _ in range(2)]
    assert [look.reads for look in looks] == [2, 0]
    for look in looks:
        assert [(job.tenant, job.model) for job in look.scan.waiting] == [
            ("acme", "flux-dev"),
            ("acme", "z-image-turbo"),
        ]


def test_bare_keys_are_not_read_where_every_job_finds_a_slot(pipeline: PipelineFixture) -> None:
    submit_bare(pipeline, ("a", "flux-dev"), ("b", "z-image-turbo"))
    look = surveyor(pipeline).look()
    assert (look.reads, pipeline.raw.gets) == (0, [])
    assert [job.model for job in look.scan.waiting] == [None, None]


def test_a_bare_key_that_went_before_it_was_read_waits_no_longer(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(routes=ONE_FLUX)
    submit_bare(pipeline, ("a", "flux-dev"), ("b", "flux-dev"))

    def gone(call: str, key: str) -> None:
        if (call, key) == ("GET", "inbox/a.json"):
            pipeline.raw._store.delete(key)

    pipeline.raw.fail = gone
    look = surveyor(pipeline).look()
    assert [job.name.id for job in look.scan.waiting] == ["b"]


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (body(tenant="acme"), Contents("acme", "flux-dev")),
        (b"?", Contents(None, "")),
        (b"[" * 200_000, Contents(None, "")),
        (b'{"model": 5, "tenant": []}', Contents(None, "")),
        (
            body(model="flux-lora", tenant="acme", input={"lora_name": "film"}),
            Contents("acme", "flux-lora", ("loras/film.safetensors",)),
        ),
        (
            body(model="flux-lora", tenant="acme", input={"lora_id": "a", "lora_version": "v"}),
            Contents("acme", "flux-lora", ("loras/flux-character-a/v.safetensors",)),
        ),
        (
            body(model="flux-lora", tenant="acme", input={"lora_id": "../a"}),
            Contents("acme", "flux-lora"),
        ),
        (
            body(model="flux-lora", tenant="acme", input={"lora_name": "x.ckpt"}),
            Contents("acme", "flux-lora"),
        ),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_of_any_bytes_a_body_says_what_can_be_read(
    pipeline: PipelineFixture, manifest: bytes, said: Contents
) -> None:
    assert contents("inbox/a.json", NOON, manifest, pipeline.runtime) == said


def test_a_look_at_what_was_heard_of_remembers_its_body(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(routes=ONE_FLUX)
    put(pipeline, lease("running"))
    submit_bare(pipeline, ("a", "flux-dev"))
    look = surveyor(pipeline).look(["inbox/a.json"])
    assert [job.model for job in look.scan.waiting] == ["flux-dev"]
    pipeline.raw.gets.clear()
    assert [job.model for job in surveyor(pipeline).look().scan.waiting] == ["flux-dev"]
    assert pipeline.raw.gets == []


def test_the_start_of_a_bare_job_tells_other_dispatchers_its_tenant(
    pipeline: PipelineFixture,
) -> None:
    claimed = lease("a", model=None, phase=Phase.CLAIMED, ttl_s=900)
    put(pipeline, claimed)
    assert surveyor(pipeline).look().order.in_flight == {}
    assert surveyor(pipeline).look().reads == 0
    put(pipeline, lease("a", tenant="acme", seq=1))
    look = surveyor(pipeline).look()
    assert look.reads == 1
    assert look.order.in_flight == {("acme", "Flux"): 1}
    assert look.slots.of("flux-dev") == 15
    put(pipeline, lease("a", tenant="acme", seq=2))
    assert surveyor(pipeline).look().reads == 0


def test_a_retry_whose_lease_lacks_the_model_has_it_from_its_manifest(
    pipeline: PipelineFixture,
) -> None:
    pipeline.store.create("jobs/a/manifest.json", body(tenant="acme"))
    put(pipeline, lease("a", model=None, phase=Phase.RETRY, not_before=NOON))
    put(pipeline, lease("b", model=None, phase=Phase.RETRY, not_before=NOON))
    known = {held.id: held.lease for held in surveyor(pipeline).look().held}
    assert known["a"] is not None
    assert (known["a"].model, known["a"].tenant) == ("flux-dev", "acme")
    assert known["b"] is not None
    assert known["b"].model is None


# Slots and shares


def test_each_route_has_slots_of_its_own(pipeline: PipelineFixture) -> None:
    taken = [lease("a"), lease("b", model="flux-schnell"), lease("c", model="unheard-of")]
    slots = free_slots(pipeline.runtime, taken)
    assert slots.of("flux-dev") == slots.of("flux-schnell") == 14
    assert slots.free["ZImage"] == 16


def test_jobs_in_flight_are_counted_by_tenant_and_route(pipeline: PipelineFixture) -> None:
    leases = [
        lease("a", entry="inbox/4.acme.flux-dev.a.json", tenant="acme"),
        lease("b", entry="inbox/4.acme.flux-schnell.b.json", tenant="acme", model="flux-schnell"),
        lease("c", tenant="acme"),
        lease("d", tenant="acme", model="z-image-turbo"),
        lease("e", tenant="zeta", model="unheard-of"),
        lease("f", model=None),
    ]
    assert by_share(leases, pipeline.runtime.route_of) == {
        ("acme", "Flux"): 3,
        ("acme", "ZImage"): 1,
        ("zeta", None): 1,
    }


def test_the_order_knows_the_loras_in_flight_by_route(pipeline: PipelineFixture) -> None:
    leases = [
        lease("a", lora="loras/a.safetensors"),
        lease("b", lora="loras/b.safetensors"),
        lease("c", model="z-image-turbo", lora="loras/c.safetensors"),
        lease("d"),
    ]
    order = service_order(pipeline.runtime, leases, NOON)
    assert order.loras == {
        "Flux": {"loras/a.safetensors", "loras/b.safetensors"},
        "ZImage": {"loras/c.safetensors"},
    }


def test_ageing_is_judged_by_the_stores_clock(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(aging_seconds=60)
    pipeline.submit("", key="inbox/4.acme.flux-dev.a.json")
    pipeline.pass_time(125)
    look = surveyor(pipeline).look()
    assert look.order.now == NOON + timedelta(seconds=125)
    assert [look.order.level(job) for job in look.scan.waiting] == [7]
