import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import Field

from config.errors import (
    IdConflict,
    InvalidField,
    InvalidId,
    ManifestNotJson,
    ManifestTooLarge,
    UnknownField,
)
from handlers.kinds.base import JobInput
from pipeline.contract.document import canonical
from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.result import Status
from pipeline.jobs import submit as module
from pipeline.jobs.manifest_files import Source
from pipeline.jobs.status import State
from pipeline.jobs.submit import Options, Prepared, Sent, new_id, prepare, submit
from tests.pipeline.inputs.test_intake import image
from tests.support.manifests import manifest
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture(holding=True)
    yield pipeline
    pipeline.close()


def source(document: Mapping[str, Any] | bytes, file_id: str | None = "cat") -> Source:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Source("cat.json", Path("/nowhere"), body, file_id)


def test_only_the_fields_given_are_written_and_their_order_is_no_matter() -> None:
    document = manifest(tenant="acme")
    backwards = dict(reversed(document.items()))
    one, two = (prepare(source(each), Options()) for each in (document, backwards))

    assert one.body == two.body
    assert json.loads(one.body) == document
    assert (one.id, one.key) == ("cat", "inbox/4.acme.flux-dev.cat.json")


def test_the_key_says_priority_tenant_and_kind_unless_it_shall_be_bare() -> None:
    urgent = source(manifest(priority=9))

    assert prepare(urgent, Options()).key == "inbox/0.default.flux-dev.cat.json"
    assert prepare(urgent, Options(bare=True)).key == "inbox/cat.json"


def test_the_settings_tenant_stands_in_for_none() -> None:
    mine = Options(tenant="mine")

    assert json.loads(prepare(source(manifest()), mine).body)["tenant"] == "mine"
    assert json.loads(prepare(source(manifest(tenant="theirs")), mine).body)["tenant"] == "theirs"


def test_an_id_comes_from_the_caller_the_file_or_the_line() -> None:
    line = source({"id": "from-line", **manifest()}, file_id=None)

    assert prepare(source(manifest()), Options(id="given")).id == "given"
    assert prepare(line, Options()).id == "from-line"
    assert prepare(line, Options(id="given")).id == "given"
    assert json.loads(prepare(line, Options(id="given")).body) == manifest()


def test_a_line_without_an_id_gets_a_new_one() -> None:
    ids = {prepare(source(manifest(), None), Options()).id for _ in range(20)}

    assert len(ids) == 20


def test_new_ids_are_uuids_of_version_7_that_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for now in (1_700_000_000_000, 1_700_000_000_001, 1_800_000_000_000):
        monkeypatch.setattr("time.time_ns", lambda now=now: now * 1_000_000)
        ids.append(new_id())

    assert ids == sorted(ids)
    assert ids[0].startswith("018bcfe5-6800-7")
    for id in ids:
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id
        )


def test_a_name_that_is_no_id_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InvalidId, match="Cat Portrait") as caught:
        prepare(source(manifest(), "Cat Portrait"), Options())

    assert "cat-portrait-" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", ManifestNotJson),
        (b"\xff", ManifestNotJson),
        (b'{"version": 1, "version": 1}', InvalidField),
        (json.dumps(manifest(mettadata={})).encode(), UnknownField),
        (json.dumps(manifest(id="beside")).encode(), UnknownField),
        (json.dumps(manifest(metadata={"x": "y" * MAX_BYTES})).encode(), ManifestTooLarge),
        (json.dumps(manifest(max_cost_usd=7)).replace("7", "1e999").encode(), ManifestNotJson),
        (json.dumps(manifest(metadata={"x": "\ud800"})).encode(), ManifestNotJson),
    ],
)
def test_a_bad_manifest_is_refused_here(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        prepare(source(body), Options())


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"{", "inbox/cat.json"),
        (b"[]", "inbox/cat.json"),
        (b'{"model": "flux-dev",  "wrong": 1}', "inbox/4.default.flux-dev.cat.json"),
        (b'{"model": "flux-dev", "priority": 12}', "inbox/cat.json"),
        (b'{"model": "flux-dev", "priority": true}', "inbox/cat.json"),
        (b'{"model": "Not A Name"}', "inbox/cat.json"),
        (b'{"model": "flux-dev", "tenant": 3}', "inbox/cat.json"),
    ],
)
def test_unchecked_bytes_are_sent_as_they_are(body: bytes, key: str) -> None:
    job = prepare(source(body), Options(check=False))

    assert (job.body, job.key) == (body, key)


def test_an_unchecked_line_still_gives_its_id() -> None:
    job = prepare(source({"id": "mine", "model": "x"}, None), Options(check=False))

    assert (job.id, job.body) == ("mine", b'{"model":"x"}')


def test_pictures_are_taken_out_of_the_manifest_and_stored_first(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class FaceInput(JobInput):
        face: str = Field(json_schema_extra={"picture": True})

    class FaceKind:
        input_model = FaceInput

    monkeypatch.setattr(module, "KINDS", MappingProxyType({"face": FaceKind}))
    monkeypatch.setattr(module, "parse_manifest", lambda body: None)
    (tmp_path / "face.png").write_bytes(image())
    raw = json.dumps({"version": 1, "model": "face", "input": {"face": "@face.png"}}).encode()
    job = prepare(Source("a.json", tmp_path, raw, "a"), Options())
    submit(pipeline.store, job)

    [key] = pipeline.keys("inputs/")
    assert json.loads(job.body)["input"] == {"face": key}
    assert pipeline.keys("inbox/") == ["inbox/4.default.face.a.json"]


def prepared(**changes: Any) -> Prepared:
    return prepare(source(manifest(**changes)), Options())


def test_a_new_job_is_written_once(pipeline: PipelineFixture) -> None:
    receipt = submit(pipeline.store, prepared())

    assert (receipt.sent, receipt.state) == (Sent.SUBMITTED, State.WAITING)
    assert pipeline.keys() == [receipt.key]


def test_the_same_again_is_already_there_wherever_it_is_now(pipeline: PipelineFixture) -> None:
    job = prepared()
    submit(pipeline.store, job)
    waiting = submit(pipeline.store, job)
    pipeline.tick()
    taken = submit(pipeline.store, job)

    assert (waiting.sent, waiting.state) == (Sent.ALREADY, State.WAITING)
    assert (taken.sent, taken.state) == (Sent.ALREADY, State.CLAIMED)
    assert not pipeline.keys("inbox/")


def test_the_same_again_tells_the_status_of_a_finished_job(pipeline: PipelineFixture) -> None:
    bad = prepare(source(b'{"model": "flux-dev"}'), Options(check=False))
    submit(pipeline.store, bad)
    pipeline.tick()
    again = submit(pipeline.store, bad)

    assert (again.state, again.status) == (State.FINISHED, Status.REJECTED)


@pytest.mark.parametrize("ticks", [0, 1])
def test_another_body_for_the_same_id_is_a_conflict(pipeline: PipelineFixture, ticks: int) -> None:
    submit(pipeline.store, prepared())
    for _ in range(ticks):
        pipeline.tick()
    before = pipeline.keys()

    with pytest.raises(IdConflict):
        submit(pipeline.store, prepared(metadata={"other": 1}))
    assert pipeline.keys() == before


def test_another_body_that_is_adopted_meanwhile_is_a_conflict(pipeline: PipelineFixture) -> None:
    job, other = prepared(), prepared(metadata={"other": 1})
    puts: list[str] = []

    def adopt_other_first(call: str, key: str) -> None:
        if call == "PUT" and key == job.key and not puts:
            puts.append(key)
            pipeline.submit("cat", other.body)
            pipeline.tick()

    pipeline.raw.fail = adopt_other_first

    with pytest.raises(IdConflict):
        submit(pipeline.store, job)


def test_canonical_json_keeps_every_character() -> None:
    assert (
        canonical({"b": "é漢", "a": [1.0, 0.1, None]}) == '{"a":[1.0,0.1,null],"b":"é漢"}'.encode()
    )
