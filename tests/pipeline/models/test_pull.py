import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from config.errors import (
    DiskFull,
    HubUnavailable,
    ModelCorrupt,
    ModelError,
    ModelGated,
    ModelNotFound,
)
from config.models import WeightFile
from pipeline.models.hub import HuggingFace
from pipeline.models.pull import (
    ALONE_S,
    SPARE_BYTES,
    Pulled,
    free_bytes,
    prepare,
    pull,
    require_alone,
    require_space,
)
from tests.pipeline.models.conftest import BODY, MakeWeight
from tests.support.model_hub import COMMIT, TOKEN, ModelHub


def pulled(weights: Iterable[WeightFile], folder: Path, source: HuggingFace) -> list[Pulled]:
    return list(pull(prepare(weights, folder, source), source, lambda weight, done: None))


def files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_a_file_is_put_where_comfyui_looks_for_it(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    seen: list[int] = []

    wanted = prepare([weight()], tmp_path, source)
    done = list(pull(wanted, source, lambda weight, done: seen.append(done)))

    assert (tmp_path / "checkpoints" / "model.safetensors").read_bytes() == BODY
    assert files(tmp_path) == ["checkpoints/model.safetensors"]
    assert done[0].sha256 == hashlib.sha256(BODY).hexdigest()
    assert done[0].revision == COMMIT
    assert seen[0] == 0
    assert seen[-1] == len(BODY)
    assert seen == sorted(seen)
    assert hub.asked[0] == f"HEAD /acme/model/resolve/{COMMIT}/deep/model.safetensors"


def test_what_is_there_is_not_pulled_again(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    pulled([weight()], tmp_path, source)
    hub.asked.clear()

    assert pulled([weight()], tmp_path, source) == []
    assert hub.asked == []


def test_a_cut_is_resumed_within_a_run(
    hub: ModelHub,
    weight: MakeWeight,
    source: HuggingFace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Files are written in pieces of this size; what is short of one is asked for again.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    model = weight()
    hub.files["acme/model/deep/model.safetensors"].cuts = [300_000]

    pulled([model], tmp_path, source)

    assert (tmp_path / "checkpoints" / "model.safetensors").read_bytes() == BODY
    first, second = hub.ranges
    assert first is None
    assert second == "bytes=300000-"


def test_a_download_that_a_crash_cut_is_continued_by_the_next_run(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    (wanted,) = prepare([weight()], tmp_path, source)
    wanted.part.parent.mkdir(parents=True)
    wanted.part.write_bytes(BODY[:700_000])

    (done,) = pulled([weight()], tmp_path, source)

    assert done.resumed_at == 700_000
    assert hub.ranges == ["bytes=700000-"]
    assert done.path.read_bytes() == BODY
    assert files(tmp_path) == ["checkpoints/model.safetensors"]


def test_several_files_come_at_a_time(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    wanted = prepare([weight(), weight(file="second.safetensors")], tmp_path, source)
    done = list(pull(wanted, source, lambda weight, done: None, streams=2))

    assert len(done) == 2
    assert files(tmp_path) == ["checkpoints/model.safetensors", "checkpoints/second.safetensors"]


def test_two_downloads_do_not_write_one_file(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    [wanted] = prepare([weight()], tmp_path, source)
    require_alone([wanted], 0.0)
    wanted.part.parent.mkdir(parents=True)
    wanted.part.write_bytes(b"x")
    written = wanted.part.stat().st_mtime

    with pytest.raises(ModelError, match="another download runs") as caught:
        require_alone([wanted], written + 1)
    assert "Wait until it has ended" in str(caught.value.hint)
    require_alone([wanted], written + ALONE_S)


def test_what_is_left_of_another_version_is_not_continued(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    (old,) = prepare([weight(body=BODY[::-1])], tmp_path, source)
    old.part.parent.mkdir(parents=True)
    old.part.write_bytes(BODY[::-1][:1000])

    (done,) = pulled([weight()], tmp_path, source)

    assert done.resumed_at == 0
    assert done.path.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_thrown_away(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    (wanted,) = prepare([weight()], tmp_path, source)
    wanted.part.parent.mkdir(parents=True)
    wanted.part.write_bytes(BODY + b"more")

    (done,) = pulled([weight()], tmp_path, source)

    assert done.path.read_bytes() == BODY


def test_wrong_bytes_never_get_the_files_name(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    model = weight()
    hub.files["acme/model/deep/model.safetensors"].served = BODY[:-1] + b"!"

    with pytest.raises(ModelCorrupt, match="expected were 1,048,576 with"):
        pulled([model], tmp_path, source)

    assert files(tmp_path) == []


def test_a_file_published_anew_under_its_name_is_not_downloaded(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    with pytest.raises(ModelCorrupt, match="the table says 0000"):
        pulled([weight(sha256="0" * 64)], tmp_path, source)

    assert hub.ranges == []


def test_facts_that_the_table_lacks_are_taken_from_the_hub(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    (done,) = pulled([weight(bytes=None, sha256=None, revision=None)], tmp_path, source)

    assert (done.bytes, done.revision) == (len(BODY), COMMIT)


def test_every_gate_is_named_before_anything_is_downloaded(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    models = [weight("open"), weight("first", gated=True), weight("second", gated=True)]

    with pytest.raises(ModelGated) as caught:
        pulled(models, tmp_path, source)

    assert "https://huggingface.co/acme/first" in str(caught.value.hint)
    assert "https://huggingface.co/acme/second" in str(caught.value.hint)
    assert "HF_TOKEN" in str(caught.value.hint)
    assert hub.ranges == []
    assert files(tmp_path) == []


def test_a_token_that_has_not_accepted_is_told_the_same(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")

    with pytest.raises(ModelGated, match="acme/model is given only to those"):
        pulled([weight(gated=True)], tmp_path, source)


def test_a_token_that_has_accepted_opens_the_gate(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    assert len(pulled([weight(gated=True)], tmp_path, source)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "elsewhere.safetensors"}, "is not there"),
        ({"repository": "nobody/nothing"}, "is not there"),
        ({"revision": "d" * 40}, "has no revision dddd"),
    ],
)
def test_what_is_not_there_is_named(
    change: dict[str, str],
    said: str,
    weight: MakeWeight,
    source: HuggingFace,
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelNotFound, match=said):
        pulled([weight(**change)], tmp_path, source)


def test_an_own_file_is_never_looked_for_elsewhere(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound, match="is your own file"):
        pulled([weight(repository=None, path=None)], tmp_path, source)

    assert hub.asked == []


def test_nobody_at_the_address_is_worth_another_try(weight: MakeWeight, tmp_path: Path) -> None:
    with pytest.raises(HubUnavailable) as caught:
        pulled([weight()], tmp_path, HuggingFace("http://127.0.0.1:1"))

    assert caught.value.retryable


def test_a_disk_too_small_is_found_before_the_first_byte(
    hub: ModelHub, weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    wanted = prepare([weight("one"), weight("two")], tmp_path, source)

    needed = 2 * len(BODY)
    assert require_space(wanted, tmp_path, lambda folder: needed + SPARE_BYTES) == needed
    with pytest.raises(DiskFull, match="2,097,152 bytes are to come"):
        require_space(wanted, tmp_path, lambda folder: needed + SPARE_BYTES - 1)
    assert hub.ranges == []


def test_a_disk_that_does_not_count_has_room() -> None:
    proc = Path("/proc")  # as mounted volumes may, it says that it holds nothing and has no room
    assert shutil.disk_usage(proc).total == 0
    assert free_bytes(proc) > 2**60


def test_what_an_earlier_try_has_left_needs_no_space_again(
    weight: MakeWeight, source: HuggingFace, tmp_path: Path
) -> None:
    (wanted,) = prepare([weight()], tmp_path, source)
    wanted.part.parent.mkdir(parents=True)
    wanted.part.write_bytes(BODY[:1_000_000])

    assert require_space([wanted], tmp_path) == len(BODY) - 1_000_000
