from pathlib import Path

from config.models import WeightFile
from pipeline.models.hub import Hub, HuggingFace
from pipeline.models.models_folder import State
from pipeline.models.verify import VerifiedFile, verify
from tests.pipeline.models.conftest import BODY, MakeWeight
from tests.support.model_hub import COMMIT, ModelHub


def verdict(weight: WeightFile, folder: Path, hub: Hub | None) -> VerifiedFile:
    (only,) = verify([weight], folder, hub, lambda weight, done: None)
    return only


def placed(folder: Path, body: bytes = BODY) -> Path:
    path = folder / "checkpoints" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(body)
    return folder


def test_a_file_with_the_tables_checksum_is_proven(weight: MakeWeight, tmp_path: Path) -> None:
    found = verdict(weight(), placed(tmp_path), None)

    assert found.local.state is State.OK
    assert found.learned == {"verified": True}
    assert not found.bad


def test_what_is_proven_already_teaches_nothing(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    found = verdict(weight(verified=True), placed(tmp_path), source)

    assert found.learned == {}
    assert hub.asked == []


def test_a_file_of_the_right_length_with_other_bytes_is_wrong(
    weight: MakeWeight, tmp_path: Path
) -> None:
    found = verdict(weight(), placed(tmp_path, BODY[::-1]), None)

    assert found.bad
    assert "its sha256 is" in str(found.local.why)
    assert found.learned == {}


def test_a_file_of_another_length_is_wrong_without_being_read(
    weight: MakeWeight, tmp_path: Path
) -> None:
    found = verdict(weight(), placed(tmp_path, BODY[:-1]), None)

    assert found.bad
    assert found.local.why == "it has 1,048,575 bytes, the table says 1,048,576"
    assert found.local.sha256 is None


def test_a_file_that_is_not_there_is_missing_and_its_facts_are_still_learned(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    known = weight()
    found = verdict(weight(bytes=None, sha256=None, revision=None), tmp_path, source)

    assert found.local.state is State.MISSING
    assert found.learned == {"bytes": known.bytes, "sha256": known.sha256, "revision": COMMIT}


def test_without_a_checksum_the_hubs_proves_a_file(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    found = verdict(weight(sha256=None), placed(tmp_path), source)

    assert found.local.state is State.OK
    assert found.learned == {"sha256": weight().sha256, "verified": True}


def test_without_a_checksum_the_hubs_also_disproves_one(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    found = verdict(weight(sha256=None), placed(tmp_path, BODY[::-1]), source)

    assert found.local.state is State.WRONG
    assert "verified" not in found.learned


def test_without_any_checksum_a_file_stays_unproven(weight: MakeWeight, tmp_path: Path) -> None:
    found = verdict(weight(sha256=None), placed(tmp_path), None)

    assert found.local.state is State.UNPROVEN
    assert found.learned == {}


def test_a_hub_that_says_otherwise_than_the_table_is_bad(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    found = verdict(weight(sha256="0" * 64), tmp_path, source)

    assert found.bad
    assert str(found.disagreement).endswith(f"the table {'0' * 64}")


def test_a_hub_that_cannot_be_reached_is_asked_once(weight: MakeWeight, tmp_path: Path) -> None:
    nobody = HuggingFace("http://127.0.0.1:1")

    found = list(verify([weight("a"), weight("b")], tmp_path, nobody, lambda weight, done: None))

    assert [each.local.state for each in found] == [State.MISSING, State.MISSING]
    assert not any(each.bad for each in found)
