"""Jobs are forgotten, whatever else goes on in the bucket."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from config.errors import JobForgotten, UnknownJob
from pipeline.contract.keys import lease_key, manifest_key, result_key, thumb_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.contract.tombstone import MANIFEST, begun_tombstone
from pipeline.erasure.eraser import Progress
from pipeline.erasure.inventory import Group
from pipeline.erasure.scope import Wish
from pipeline.jobs.audit.faults import FaultKind
from pipeline.sheets.ended_sheet import require_ended_sheet
from tests.pipeline.conftest import MakePipeline
from tests.support.audits import audited, begin_to_forget, found, put_lease
from tests.support.erasures import (
    INPUT,
    SHA256,
    bodies,
    eraser,
    is_forgotten,
    keys_but_spend,
    make_everything,
    manifest,
    pictures,
    put,
    put_face,
    redo_manifest,
    tombstones,
    traces,
)
from tests.support.instant_comfyui import InstantEngine
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture
from tests.support.sheet_pipeline import Sheets

ANN = Wish(tenant="acme", subject="Ann")
SHEET = Wish(job="sheet")


@pytest.fixture
def sheets(make_pipeline: MakePipeline) -> Sheets:
    return Sheets(make_pipeline())


@pytest.mark.parametrize("wish", [ANN, SHEET], ids=["a subject", "a job"])
def test_no_byte_of_the_face_is_left_and_the_audit_is_clean(sheets: Sheets, wish: Wish) -> None:
    pipeline = sheets.pipeline
    make_everything(sheets)
    faces = pictures(pipeline) - {bodies(pipeline)["inputs/ann.png"]}
    assert traces(pipeline, faces)
    planned = eraser(pipeline).plan(wish)
    erased = eraser(pipeline).erase(wish)

    assert traces(pipeline, faces) == []
    assert keys_but_spend(pipeline) == sorted([*tombstones("sheet", "sheet-r2"), "inputs/ann.png"])
    assert is_forgotten(pipeline, "sheet")
    assert is_forgotten(pipeline, "sheet-r2")
    assert [job.id for job in erased.jobs] == [job.id for job in planned.jobs]
    assert {holding.group for holding in planned.holdings} == {*Group} - {
        Group.WAITING,
        Group.LEASES,
        Group.LORAS,
    }
    gone = [each for each in planned.holdings if each.group is not Group.MANIFESTS]
    assert erased.deleted >= len(gone)
    assert found(audited(pipeline, content=True)) == []


def test_a_plan_changes_nothing(sheets: Sheets) -> None:
    make_everything(sheets)
    before = bodies(sheets.pipeline)
    eraser(sheets.pipeline).plan(SHEET)
    assert bodies(sheets.pipeline) == before


def test_what_it_cost_and_when_it_ended_is_kept_for_the_reports(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    before = sheets.finish(manifest())
    pipeline.pass_time(86_400)
    eraser(pipeline).erase(SHEET)
    after = pipeline.result("sheet")
    assert (after.cost, after.finished_at) == (before.cost, before.finished_at)
    assert (after.tenant, after.model) == ("acme", "character-sheet")
    assert after.status is Status.FORGOTTEN


def test_its_id_stays_used(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    eraser(pipeline).erase(SHEET)
    drawn = len(sheets.server.steps)
    put_face(pipeline)
    sheets.submit(manifest())
    for _ in range(3):
        sheets.tick()
        pipeline.pass_time(60)
    assert is_forgotten(pipeline, "sheet")
    assert len(sheets.server.steps) == drawn
    assert [each["error"]["code"] for each in pipeline.rejected()] == ["id_conflict"]
    assert not pipeline.keys("inbox/")
    assert not pipeline.keys("leases/")


def test_a_forgotten_sheet_is_no_source_of_anything(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    eraser(pipeline).erase(SHEET)
    with pytest.raises(JobForgotten):
        require_ended_sheet(pipeline.store, "sheet")
    put_face(pipeline)
    refused = sheets.finish(redo_manifest(), "late")
    assert refused.status is Status.REJECTED
    assert refused.error.field == "input.reuse.job"


def test_it_is_cancelled_and_nothing_is_deleted_before_nothing_can_run(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True, expiry_margin_seconds=5)
    pipeline.submit("one", body(tenant="acme"))
    pipeline.tick()
    waited: list[float] = []

    class Watching(Progress):
        def waits(self, seconds: float) -> None:
            waited.append(seconds)
            assert pipeline.result("one").erasure is not None
            assert not pipeline.keys(lease_key("one"))
            assert pipeline.raw._store.get(manifest_key("one")).body != MANIFEST  # type: ignore[union-attr]

    eraser(pipeline, progress=Watching()).erase(Wish(job="one"))
    assert waited[0] == 2 * (60 + 5)
    [payload] = pipeline.held.payloads
    InstantEngine(pipeline.context).submit("Flux", payload)
    pipeline.deliver()
    assert is_forgotten(pipeline, "one")
    assert keys_but_spend(pipeline) == tombstones("one")


def test_of_a_job_that_ended_long_ago_nothing_is_waited_for(pipeline: PipelineFixture) -> None:
    pipeline.submit("one")
    pipeline.tick()
    pipeline.pass_time(3600)
    before = pipeline.now
    eraser(pipeline).erase(Wish(job="one"))
    assert pipeline.now == before


def test_what_a_worker_writes_late_is_found_and_it_cannot_commit(
    make_pipeline: MakePipeline,
) -> None:
    """It is cut off from the bucket while its job is forgotten, and stores its picture then."""
    pipeline = make_pipeline()
    forgotten: list[str] = []

    def forget(**_: object) -> None:
        if not forgotten:
            forgotten.append("one")
            eraser(pipeline).erase(Wish(job="one"))

    pipeline.context.server.instant._before = forget  # type: ignore[attr-defined]
    pipeline.submit("one", body(tenant="acme"))
    pipeline.tick()
    assert forgotten
    assert is_forgotten(pipeline, "one")
    late = [key for key in keys_but_spend(pipeline) if key not in tombstones("one")]
    assert [key for _, key in found(audited(pipeline))] == late
    assert {kind for kind, _ in found(audited(pipeline))} <= {FaultKind.ERASURE_LEFT}
    eraser(pipeline).erase(Wish(job="one"))
    assert keys_but_spend(pipeline) == tombstones("one")
    assert found(audited(pipeline)) == []


class Meanwhile(Progress):
    """Something happens once, when the jobs have their tombstones."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act: Callable[[], object] | None = act

    def began(self, jobs: object) -> None:
        act, self.act = self.act, None
        if act is not None:
            act()


def test_a_picture_that_is_stored_while_it_waits_goes_too(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())

    def late() -> None:
        put(pipeline, "jobs/sheet/out/a1/zombie.png", b"late")
        put(pipeline, "reviews/sheet.json", b"{}")

    eraser(pipeline, progress=Meanwhile(late)).erase(SHEET)
    assert pipeline.keys("jobs/") == tombstones("sheet")
    assert not pipeline.keys("reviews/")


def test_what_is_written_after_everything_was_deleted_is_found_by_the_last_list(
    sheets: Sheets,
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())

    def late(call: str, key: str) -> None:
        if (call, key) == ("LIST", "rejected/"):  # what was sent is looked at then
            put(pipeline, "jobs/sheet/out/a1/zombie.png", b"late")

    pipeline.raw.fail = late
    eraser(pipeline).erase(SHEET)
    assert pipeline.keys("jobs/") == tombstones("sheet")


def test_a_review_and_a_dataset_that_come_after_the_end_are_named_by_the_audit(
    sheets: Sheets,
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    eraser(pipeline).erase(SHEET)
    late = ["reviews/sheet.json", "exports/sheet/0.zip"]
    for key in (*late, "reviews/other.json", "exports/other/0.zip"):
        put(pipeline, key)
    assert found(audited(pipeline)) == [(FaultKind.ERASURE_LEFT, key) for key in late]
    eraser(pipeline).erase(SHEET)
    assert found(audited(pipeline)) == []


def test_who_runs_a_job_whose_erasure_was_killed_is_stopped_and_waited_for(
    pipeline: PipelineFixture,
) -> None:
    pipeline.submit("good")
    pipeline.tick()
    pipeline.pass_time(3600)
    begin_to_forget(pipeline)
    put_lease(pipeline, "good", phase=Phase.RUNNING, ttl_s=60)
    leases: list[list[str]] = []
    before = pipeline.now

    class Watching(Progress):
        def waits(self, seconds: float) -> None:
            leases.append(pipeline.keys("leases/"))

    eraser(pipeline, progress=Watching()).erase(Wish(job="good"))
    assert pipeline.now - before == timedelta(seconds=120)
    assert leases
    assert not any(leases)
    assert pipeline.keys("jobs/") == tombstones("good")


def test_a_redo_that_is_sent_before_and_starts_meanwhile_is_forgotten_too(
    sheets: Sheets,
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())

    def start() -> None:
        sheets.submit(redo_manifest(), "again")
        sheets.tick()

    erased = eraser(pipeline, progress=Meanwhile(start)).erase(SHEET)
    assert [job.id for job in erased.jobs] == ["sheet", "again"]
    assert pipeline.keys("jobs/") == tombstones("again", "sheet")
    assert traces(pipeline, {bodies(pipeline)["inputs/ann.png"]}) == ["inputs/ann.png"]


def test_a_sheet_is_forgotten_while_others_take_it_over(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    sheets = Sheets(pipeline)
    put_face(pipeline)
    other = pipeline.another("other", sheets.engine)
    sheets.submit(manifest())

    def take_over() -> None:
        for dispatcher in (sheets.dispatcher, other):
            pipeline.pass_time(1000)
            pipeline.tick(dispatcher)

    eraser(pipeline, progress=Meanwhile(take_over)).erase(SHEET)
    take_over()
    assert keys_but_spend(pipeline) == sorted([*tombstones("sheet"), "inputs/ann.png"])
    assert is_forgotten(pipeline, "sheet")


def test_a_redo_of_a_redo_and_a_comparison_go_with_it(pipeline: PipelineFixture) -> None:
    put_face(pipeline)
    others = {"second": redo_manifest(), "third": redo_manifest("second")}
    for id in ("sheet", "sheet-r2", "stranger"):
        others[id] = manifest()
    for id, document in others.items():
        put(pipeline, manifest_key(id), document)
    plan = eraser(pipeline).plan(SHEET)
    assert {job.id: job.why for job in plan.jobs} == {
        "sheet": "asked for",
        "second": "made of sheet",
        "third": "made of second",
        "sheet-r2": "made of sheet",
    }
    assert [(kept.key, kept.why) for kept in plan.kept] == [(INPUT, "the job stranger needs it")]


def test_a_picture_that_another_tenant_has_sent_too_stays(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline, "acme", "other")
    sheets.finish(manifest())
    erased = eraser(pipeline).erase(SHEET)
    assert [(kept.key, kept.why) for kept in erased.kept] == [(INPUT, "other has sent it too")]
    assert pipeline.keys("inputs/") == [INPUT, "inputs/ann.png"]
    assert pipeline.keys("intake/") == [f"intake/other/{SHA256}"]


def test_a_picture_stays_with_its_note_for_another_job_until_that_is_forgotten(
    sheets: Sheets,
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline, "acme")
    sheets.finish(manifest())
    put(pipeline, manifest_key("stranger"), manifest())
    eraser(pipeline).erase(SHEET)
    assert INPUT in pipeline.keys("inputs/")
    assert pipeline.keys("intake/") == [f"intake/acme/{SHA256}"]
    eraser(pipeline).erase(Wish(job="stranger"))
    assert INPUT not in pipeline.keys("inputs/")
    assert not pipeline.keys("intake/")


def test_loras_of_the_person_are_named_and_go_only_when_that_is_asked_for(
    pipeline: PipelineFixture,
) -> None:
    own = ["loras/character-Ann.safetensors", "loras/flux-character-Ann/1.safetensors"]
    for key in (*own, "loras/character-Annabel.safetensors", "loras/styles/film.safetensors"):
        put(pipeline, key)
    left = eraser(pipeline).erase(ANN)
    assert [lora.key for lora in left.loras] == own
    assert len(pipeline.keys("loras/")) == 4
    assert not eraser(pipeline).erase(ANN, loras=True).loras
    assert len(pipeline.keys("loras/")) == 2


def test_a_subject_of_another_tenant_is_left_alone(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    sheets.submit(manifest(), "waits")
    before = bodies(pipeline)
    assert not eraser(pipeline).erase(Wish(tenant="other", subject="Ann")).jobs
    with pytest.raises(UnknownJob):
        eraser(pipeline).erase(Wish(tenant="other", job="waits"))
    with pytest.raises(UnknownJob):
        eraser(pipeline).erase(Wish(tenant="other", job="sheet"))
    with pytest.raises(UnknownJob):
        eraser(pipeline).erase(Wish(job="nothing"))
    assert bodies(pipeline) == before


def test_a_job_that_only_waits_is_forgotten(pipeline: PipelineFixture) -> None:
    pipeline.submit("one", body(tenant="acme"), key="inbox/4.acme.flux-dev.one.json")
    eraser(pipeline).erase(Wish(job="one"))
    assert keys_but_spend(pipeline) == tombstones("one")
    pipeline.tick()
    assert keys_but_spend(pipeline) == tombstones("one")


def test_what_ended_long_ago_is_forgotten_but_what_a_younger_job_reuses(sheets: Sheets) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    pipeline.submit("old", b"{}")
    sheets.tick()
    pipeline.pass_time(86_400)
    sheets.finish(redo_manifest(), "young")
    retention = Wish(ended_before=pipeline.now - timedelta(hours=1))
    assert [job.id for job in eraser(pipeline).erase(retention).jobs] == ["old"]
    pipeline.pass_time(86_400)
    retention = Wish(ended_before=pipeline.now - timedelta(hours=1))
    assert {job.id for job in eraser(pipeline).erase(retention).jobs} == {"sheet", "young"}
    assert not eraser(pipeline).erase(retention).jobs
    assert result_key("sheet") in pipeline.keys("jobs/")


def test_however_many_are_old_all_are_forgotten(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.erasure.scope.AT_ONCE", 2)
    ids = [f"job-{n}" for n in range(5)]
    for id in ids:
        pipeline.submit(id, b"{}")
    pipeline.tick()
    pipeline.pass_time(3600)
    erased = eraser(pipeline).erase(Wish(ended_before=pipeline.now))
    assert [job.id for job in erased.jobs] == ids
    assert keys_but_spend(pipeline) == tombstones(*ids)


def forged(**erasure: object) -> bytes:
    """What somebody who may write in the bucket puts in a result's place."""
    tombstone = begun_tombstone(
        "sheet", None, tenant="acme", nonce="n", now=NOON, quiet_at=NOON, left=()
    )
    document = json.loads(tombstone.body())
    document["erasure"] |= erasure
    return json.dumps(document).encode()


@pytest.mark.parametrize("key", ["jobs/other/result.json", "stops/all", "thumbs/../stops/all"])
def test_a_tombstone_that_somebody_else_wrote_takes_no_other_object_along(
    sheets: Sheets, key: str
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    put(pipeline, key)
    put(pipeline, result_key("sheet"), forged(left=[key]))
    eraser(pipeline).erase(SHEET)
    assert key in pipeline.keys("")
    assert is_forgotten(pipeline, "sheet")


def test_with_a_tombstone_that_says_falsely_that_it_has_ended_its_pictures_go_too(
    sheets: Sheets,
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline, "acme")
    sheets.finish(manifest())
    put(pipeline, thumb_key(SHA256), b"small")
    put(pipeline, result_key("sheet"), forged(ended_at=NOON.isoformat()))
    eraser(pipeline).erase(SHEET)
    assert keys_but_spend(pipeline) == sorted([*tombstones("sheet"), "inputs/ann.png"])
    assert found(audited(pipeline, content=True)) == []


@pytest.mark.parametrize("ended_at", [None, NOON.isoformat()])
def test_a_tombstone_that_would_have_it_wait_for_ever_has_it_wait_for_two_lives(
    sheets: Sheets, ended_at: str | None
) -> None:
    pipeline = sheets.pipeline
    put_face(pipeline)
    sheets.finish(manifest())
    never = "9999-12-31T00:00:00Z"
    put(pipeline, result_key("sheet"), forged(quiet_at=never, ended_at=ended_at))
    began = pipeline.store.now()
    eraser(pipeline).erase(SHEET)
    assert pipeline.store.now() - began < timedelta(minutes=5)
    assert is_forgotten(pipeline, "sheet")
