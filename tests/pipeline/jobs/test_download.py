import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import OutputInvalid, OutputsMissing
from pipeline.contract.result import Metrics
from pipeline.jobs.download import fetch
from pipeline.store.base import Always
from tests.support.yard import Yard


@pytest.fixture
def yard() -> Iterator[Yard]:
    yard = Yard()
    yard.submit("one")
    yard.tick()
    yield yard
    yard.close()


def test_a_result_comes_with_its_metrics_and_outputs(yard: Yard, tmp_path: Path) -> None:
    fetched = fetch(yard.store, "one", tmp_path)

    assert fetched is not None
    assert fetched.result == yard.result("one")
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == [
        "image-0.png",
        "metrics.json",
        "result.json",
    ]
    assert set(fetched.files) == set((tmp_path / "one").iterdir())
    Metrics.model_validate_json((tmp_path / "one/metrics.json").read_bytes())


def test_a_second_fetch_leaves_the_outputs_alone(yard: Yard, tmp_path: Path) -> None:
    fetch(yard.store, "one", tmp_path)
    yard.raw.gets.clear()
    fetch(yard.store, "one", tmp_path)

    assert not [key for key in yard.raw.gets if key.endswith(".png")]


def test_a_file_that_was_changed_here_is_fetched_again(yard: Yard, tmp_path: Path) -> None:
    fetch(yard.store, "one", tmp_path)
    path = tmp_path / "one/image-0.png"
    right = path.read_bytes()
    path.write_bytes(b"scribble")
    fetch(yard.store, "one", tmp_path)

    assert path.read_bytes() == right


def test_an_output_that_was_overwritten_is_refused_and_not_written(
    yard: Yard, tmp_path: Path
) -> None:
    [output] = yard.result("one").outputs
    yard.raw.put(output.key, b"something else", Always())

    with pytest.raises(OutputInvalid, match="sha256"):
        fetch(yard.store, "one", tmp_path)
    assert not (tmp_path / "one/image-0.png").exists()


def test_an_output_that_is_gone_is_named(yard: Yard, tmp_path: Path) -> None:
    [output] = yard.result("one").outputs
    yard.raw.delete(output.key)

    with pytest.raises(OutputsMissing, match=output.key):
        fetch(yard.store, "one", tmp_path)


def test_no_key_leads_out_of_the_folder(yard: Yard, tmp_path: Path) -> None:
    document = json.loads(yard.result("one").body())
    key = document["outputs"][0]["key"]
    stored = yard.store.get(key)
    assert stored is not None
    document["id"] = "evil"
    document["outputs"][0]["key"] = "jobs/evil/out/a1/../../../../escaped.png"
    yard.raw.put(document["outputs"][0]["key"], stored.body, Always())
    yard.raw.put("jobs/evil/result.json", json.dumps(document).encode(), Always())
    fetch(yard.store, "evil", tmp_path / "in")

    assert (tmp_path / "in/evil/escaped.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_job_without_a_result_has_nothing_to_fetch(yard: Yard, tmp_path: Path) -> None:
    assert fetch(yard.store, "nobody", tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_no_result_are_kept_as_they_are(yard: Yard, tmp_path: Path) -> None:
    yard.raw.put("jobs/odd/result.json", b"?", Always())
    fetched = fetch(yard.store, "odd", tmp_path)

    assert fetched is not None
    assert fetched.result is None
    assert (tmp_path / "odd/result.json").read_bytes() == b"?"
