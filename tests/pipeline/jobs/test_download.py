import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import OutputInvalid, OutputsMissing
from pipeline.contract.result import Metrics, ResultFile
from pipeline.jobs.download import fetch
from pipeline.store.base import Always
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture()
    pipeline.submit("one")
    pipeline.tick()
    yield pipeline
    pipeline.close()


def test_a_result_comes_with_its_metrics_and_outputs(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    fetched = fetch(pipeline.store, "one", tmp_path)

    assert fetched is not None
    assert fetched.result == pipeline.result("one")
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == [
        "image-0.png",
        "metrics.json",
        "result.json",
    ]
    assert set(fetched.files) == set((tmp_path / "one").iterdir())
    Metrics.model_validate_json((tmp_path / "one/metrics.json").read_bytes())


def test_metrics_are_told_from_the_result_where_their_file_is_not_there_yet(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    stored = pipeline.store.get("jobs/one/out/a1/metrics.json")
    assert stored is not None
    pipeline.store.delete("jobs/one/out/a1/metrics.json")
    fetch(pipeline.store, "one", tmp_path)
    assert (tmp_path / "one/metrics.json").read_bytes() == stored.body


def test_files_beside_the_pictures_come_too(pipeline: PipelineFixture, tmp_path: Path) -> None:
    document = b'{"v": 1}'
    key = "jobs/one/out/a1/sheet.json"
    file = ResultFile(
        name="sheet.json",
        key=key,
        bytes=len(document),
        sha256=hashlib.sha256(document).hexdigest(),
        content_type="application/json",
    )
    pipeline.raw.put(key, document, Always())
    told = pipeline.result("one").model_copy(update={"files": (file,)})
    pipeline.raw.put("jobs/one/result.json", told.body(), Always())

    fetched = fetch(pipeline.store, "one", tmp_path)

    assert fetched is not None
    assert (tmp_path / "one/sheet.json").read_bytes() == document
    assert tmp_path / "one/sheet.json" in fetched.files


def test_a_second_fetch_leaves_the_outputs_alone(pipeline: PipelineFixture, tmp_path: Path) -> None:
    fetch(pipeline.store, "one", tmp_path)
    pipeline.raw.gets.clear()
    fetch(pipeline.store, "one", tmp_path)

    assert not [key for key in pipeline.raw.gets if key.endswith(".png")]


def test_a_file_that_was_changed_here_is_fetched_again(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    fetch(pipeline.store, "one", tmp_path)
    path = tmp_path / "one/image-0.png"
    right = path.read_bytes()
    path.write_bytes(b"scribble")
    fetch(pipeline.store, "one", tmp_path)

    assert path.read_bytes() == right


def test_an_output_that_was_overwritten_is_refused_and_not_written(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    [output] = pipeline.result("one").outputs
    pipeline.raw.put(output.key, b"something else", Always())

    with pytest.raises(OutputInvalid, match="sha256"):
        fetch(pipeline.store, "one", tmp_path)
    assert not (tmp_path / "one/image-0.png").exists()


def test_an_output_that_is_gone_is_named(pipeline: PipelineFixture, tmp_path: Path) -> None:
    [output] = pipeline.result("one").outputs
    pipeline.raw.delete(output.key)

    with pytest.raises(OutputsMissing, match=output.key):
        fetch(pipeline.store, "one", tmp_path)


def test_no_key_leads_out_of_the_folder(pipeline: PipelineFixture, tmp_path: Path) -> None:
    document = json.loads(pipeline.result("one").body())
    key = document["outputs"][0]["key"]
    stored = pipeline.store.get(key)
    assert stored is not None
    document["id"] = "evil"
    document["outputs"][0]["key"] = "jobs/evil/out/a1/../../../../escaped.png"
    pipeline.raw.put(document["outputs"][0]["key"], stored.body, Always())
    pipeline.raw.put("jobs/evil/result.json", json.dumps(document).encode(), Always())
    fetch(pipeline.store, "evil", tmp_path / "in")

    assert (tmp_path / "in/evil/escaped.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_job_without_a_result_has_nothing_to_fetch(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    assert fetch(pipeline.store, "nobody", tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_no_result_are_kept_as_they_are(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    pipeline.raw.put("jobs/odd/result.json", b"?", Always())
    fetched = fetch(pipeline.store, "odd", tmp_path)

    assert fetched is not None
    assert fetched.result is None
    assert (tmp_path / "odd/result.json").read_bytes() == b"?"
