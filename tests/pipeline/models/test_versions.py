import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.errors import InvalidSetting, ModelError, ModelsChanged
from config.models import ModelTable, WeightFile, load_models
from pipeline.models.versions import (
    Version,
    append,
    files_kept,
    history,
    in_use,
    is_aside,
    latest,
    place,
    placed,
    same_content,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = "a" * 64, "b" * 64


def weight(name: str = "unet", **facts: Any) -> WeightFile:
    row = {
        "name": name,
        "folder": "diffusion_models",
        "file": f"{name}.safetensors",
        "family": "flux",
        "sha256": OLD,
        "licence": "acme-1.0",
        "commercial_use": True,
    }
    return WeightFile.model_validate({**row, **facts})


def version(number: int = 1, **sets: dict[str, WeightFile]) -> Version:
    return Version(number=number, action="activate", at=NOON, sets=sets)


def table(sets: dict[str, dict[str, str]], *rows: WeightFile) -> ModelTable:
    return ModelTable.model_validate({"weights": {row.name: row for row in rows}, "sets": sets})


def test_the_last_entry_is_the_one_in_use(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    first, second = version(1, tiny={"unet": weight()}), version(2, tiny={"unet": weight()})
    append(tmp_path, first)
    append(tmp_path, second)

    assert history(tmp_path) == [first, second]
    assert latest(tmp_path) == second
    assert sorted(os.listdir(tmp_path / "versions")) == ["000001.json", "000002.json"]


def test_of_many_that_do_it_at_once_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    def try_it(n: int) -> bool:
        try:
            append(tmp_path, version(1, tiny={"unet": weight(sha256=f"{n:064x}")}))
        except ModelsChanged:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(try_it, range(32)))

    assert won.count(True) == 1
    [entry] = history(tmp_path)
    assert entry.sets["tiny"]["unet"].sha256 == f"{won.index(True):064x}"
    assert os.listdir(tmp_path / "versions") == ["000001.json"]


def test_it_is_as_safe_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "link", no_links)
    append(tmp_path, version(1, tiny={"unet": weight()}))

    with pytest.raises(ModelsChanged):
        append(tmp_path, version(1, tiny={"unet": weight(sha256=NEW)}))
    assert [entry.sets["tiny"]["unet"].sha256 for entry in history(tmp_path)] == [OLD]


def test_an_entry_that_cannot_be_read_stops_whoever_asks(tmp_path: Path) -> None:
    append(tmp_path, version(1, tiny={"unet": weight()}))
    (tmp_path / "versions/000002.json").write_text("{")

    with pytest.raises(InvalidSetting, match=r"000002\.json cannot be read"):
        latest(tmp_path)


def test_strangers_among_the_entries_are_passed_over(tmp_path: Path) -> None:
    append(tmp_path, version(1, tiny={"unet": weight()}))
    for name in (".tmp.part", "notes.txt", "7.json"):
        (tmp_path / "versions" / name).write_text("{")

    assert [entry.number for entry in history(tmp_path)] == [1]


def test_a_set_is_used_as_it_was_activated_whatever_the_table_says_now() -> None:
    now = table({"tiny": {"unet": "unet"}}, weight(sha256=NEW))

    used = in_use(now, version(1, tiny={"unet": weight()}))

    assert used.weights("tiny")["unet"].sha256 == OLD
    assert used.fingerprint("tiny") != now.fingerprint("tiny")
    assert in_use(now, None) is now


def test_a_set_that_was_never_activated_follows_the_table() -> None:
    now = table(
        {"tiny": {"unet": "unet"}, "other": {"unet": "unet"}}, weight(sha256=NEW, file="x/u")
    )

    used = in_use(now, version(1, tiny={"unet": weight()}))

    assert used.weights("tiny")["unet"].sha256 == OLD
    assert used.weights("other")["unet"].sha256 == NEW
    assert used.fingerprint("other") == now.fingerprint("other")
    assert sorted(used.weights_by_name) == ["unet", f"unet@{NEW[:12]}"]


def test_a_set_that_the_table_dropped_is_used_still() -> None:
    used = in_use(load_models(), version(1, tiny={"unet": weight()}))

    assert used.weights("tiny")["unet"] == weight()
    assert set(used.sets) == {"tiny", *load_models().sets}


def test_files_of_no_set_can_be_used_by_graphs_of_callers() -> None:
    now = table({"tiny": {"unet": "unet"}}, weight(sha256=NEW), weight("upscaler"))

    used = in_use(now, version(1, tiny={"unet": weight()}))

    assert used.weights_by_name == {"unet": weight(), "upscaler": weight("upscaler")}


def test_what_is_learned_of_the_same_file_later_holds() -> None:
    now = table({"tiny": {"unet": "unet"}}, weight(licence_note="contract 7"))

    used = in_use(now, version(1, tiny={"unet": weight()}))

    assert used.weights("tiny")["unet"].licence_note == "contract 7"


def test_results_name_the_fingerprint_that_the_history_shows() -> None:
    entry = version(1, tiny={"unet": weight()})
    moved = table({"tiny": {"unet": "unet"}}, weight(revision="3" * 40, licence_note="contract 7"))

    assert in_use(moved, entry).fingerprint("tiny") == entry.fingerprints["tiny"]


def test_a_new_content_goes_beside_the_old_one_and_keeps_its_name() -> None:
    new = place(weight(sha256=NEW), [weight()])

    assert new.file == f"{NEW[:12]}/unet.safetensors"
    assert new.base_name == weight().base_name


def test_the_next_content_does_not_go_below_the_last_one() -> None:
    last = place(weight(sha256=NEW), [weight()])

    third = place(last.model_copy(update={"sha256": "c" * 64}), [weight(), last])

    assert third.file == f"{'c' * 12}/unet.safetensors"
    assert [is_aside(each) for each in (weight(), last, third)] == [False, True, True]


def test_a_content_that_lies_somewhere_is_found_there() -> None:
    aside = weight(sha256=NEW, file=f"{NEW[:12]}/unet.safetensors")

    assert place(weight(sha256=NEW), [weight(), aside]).file == aside.file
    assert place(weight(), [weight(), aside]).file == weight().file


def test_other_folders_and_first_files_stay_where_they_are() -> None:
    assert place(weight(), [weight(folder="vae", sha256=NEW)]) == weight()
    assert placed(load_models(), []) == load_models()


def test_a_face_pack_cannot_lie_aside() -> None:
    pack = weight(family="face", file="models/pack/det.onnx")

    with pytest.raises(ModelError, match="cannot lie anywhere else"):
        place(pack.model_copy(update={"sha256": NEW}), [pack])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"sha256": OLD}, {"sha256": OLD, "revision": "1" * 40}, True),
        ({"sha256": OLD}, {"sha256": NEW}, False),
        ({"sha256": None, "revision": "1" * 40}, {"revision": "2" * 40}, False),
        ({"sha256": None, "revision": "1" * 40}, {"revision": "1" * 40}, True),
        ({"sha256": None}, {"sha256": NEW}, True),
    ],
)
def test_contents_differ_only_where_both_are_known(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    assert same_content(weight(**one), weight(**other)) is same


def test_every_file_that_a_version_names_is_kept(tmp_path: Path) -> None:
    append(tmp_path, version(1, tiny={"unet": weight()}))
    append(tmp_path, version(2, tiny={"unet": weight(sha256=NEW, file="n/unet.safetensors")}))

    assert [each.sha256 for each in files_kept(tmp_path)] == [OLD, NEW]
