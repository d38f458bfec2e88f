"""Whole datasets, as whoever trains on them finds them."""

import hashlib
import io
import json
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from PIL import Image

from config.errors import DatasetError, InvalidInput, OutputInvalid, OutputsMissing, UnknownJob
from handlers.kinds.requirements import LoraFile
from pipeline.contract.keys import export_key, manifest_key, result_key
from pipeline.datasets.export import Export, export_sheet
from pipeline.datasets.wish import Wish
from pipeline.reviews.review import Mark, Verdict, change_review
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore, listed
from tests.support.datasets import MODELS, MadeSheet, memory_store
from tests.support.trainers import ai_toolkit, kohya_image_dir, kohya_train_data_dir

WITHOUT_TRAINABLE = {"views": [{"id": "front"}, {"id": "back", "back": True}]}


@pytest.fixture
def store() -> SafeStore:
    return memory_store()


def exported(store: SafeStore, sheet: MadeSheet, out: Path, wish: Wish | None = None) -> Export:
    sheet.put(store)
    return export_sheet(store, sheet.id, MODELS, out, wish or Wish())


def contents(path: Path) -> Mapping[str, bytes]:
    archive = zipfile.ZipFile(path)
    return {name: archive.read(name) for name in archive.namelist()}


def document(path: Path) -> Any:
    return json.loads(contents(path)["sheet.json"])


HOSTILE = "red\n\r[trigger] {a|b},,\u2028 🧣\x00, "
TALK = [{"id": f"v{number}", "outfit": f"{HOSTILE}{number}", "pose": "[name]"} for number in (1, 2)]


@pytest.mark.parametrize(("views", "format"), [("ten", "PNG"), ("lora-24", "JPEG"), (TALK, "WEBP")])
def test_both_trainers_train_on_every_picture_with_its_caption_and_on_nothing_else(
    store: SafeStore, tmp_path: Path, views: Any, format: str
) -> None:
    made = exported(
        store, MadeSheet(input={"views": views}, format=format), tmp_path / "a.zip", Wish("ohwx")
    )
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "set")
    folder = tmp_path / "set"
    count = {"ten": 10, "lora-24": 24}.get(str(views), 2)
    told = {folder / picture.file: picture.caption for picture in made.document.pictures}
    assert len(told) == count

    [process] = yaml.safe_load((folder / "ai-toolkit.yaml").read_text())["config"]["process"]
    [dataset] = process["datasets"]
    walked = ai_toolkit(
        folder / dataset["folder_path"], dataset["caption_ext"], process["trigger_word"]
    )
    assert {one.path: one.caption for one in walked} == told

    older = kohya_train_data_dir(folder / "img")
    assert {one.path: one.caption for one in older} == told
    config = tomllib.loads((folder / "kohya.toml").read_text())
    [subset] = config["datasets"][0]["subsets"]
    newer = kohya_image_dir(
        folder / subset["image_dir"],
        subset["num_repeats"],
        subset["class_tokens"],
        config["general"]["caption_extension"],
    )
    assert newer == older, "the folder's name tells the same repeats as the file"
    for path, caption in told.items():
        assert caption.startswith("ohwx person, ")
        with Image.open(path) as image:
            assert image.format in ("PNG", "JPEG")
            assert not image.width % 64
            assert not image.height % 64


def test_what_is_anywhere_else_in_the_zip_is_no_picture(store: SafeStore, tmp_path: Path) -> None:
    exported(store, MadeSheet(), tmp_path / "a.zip")
    inside = "img/20_ohwx person/"
    assert [name for name in contents(tmp_path / "a.zip") if not name.startswith(inside)] == [
        "kohya.toml",
        "ai-toolkit.yaml",
        "sheet.json",
        "LICENCES.txt",
        "README.txt",
    ]


def test_the_loader_of_folders_of_pictures_finds_each_with_its_caption(
    store: SafeStore, tmp_path: Path
) -> None:
    exported(store, MadeSheet(), tmp_path / "a.zip")
    found = contents(tmp_path / "a.zip")
    inside = "img/20_ohwx person"
    lines = [json.loads(line) for line in found[f"{inside}/metadata.jsonl"].splitlines()]
    assert len(lines) == 10
    for line in lines:
        text = found[f"{inside}/{line['file_name']}".replace(".png", ".txt")].decode()
        assert line["text"] == text


def test_pictures_are_the_sheets_own_bytes(store: SafeStore, tmp_path: Path) -> None:
    sheet = MadeSheet()
    exported(store, sheet, tmp_path / "a.zip")
    found = contents(tmp_path / "a.zip")
    for view in sheet.plan.views:
        assert found[f"img/20_ohwx person/{view.name}.png"] == sheet.body(view)


def test_a_rejected_view_is_nowhere_in_it(store: SafeStore, tmp_path: Path) -> None:
    sheet = MadeSheet()
    sheet.put(store)
    change_review(store, "ann", "acme", {"side-left": Mark(Verdict.REJECT, "not her")})
    made = export_sheet(store, "ann", MODELS, tmp_path / "a.zip")
    assert not [name for name in contents(tmp_path / "a.zip") if "05-side-left" in name]
    assert [(one.view, one.reason) for one in made.document.left_out] == [("side-left", "rejected")]


def test_a_view_that_a_person_keeps_in_spite_of_its_score_is_in_it(
    store: SafeStore, tmp_path: Path
) -> None:
    sheet = MadeSheet(faults={"front": "face_below_gate"}, matches={"front": 0.75})
    sheet.put(store)
    left_out = export_sheet(store, "ann", MODELS, tmp_path / "a.zip").document
    change_review(store, "ann", "acme", {"front": Mark(Verdict.KEEP)})
    kept = export_sheet(store, "ann", MODELS, tmp_path / "b.zip").document
    assert (len(left_out.pictures), len(kept.pictures)) == (9, 10)
    [front] = [one for one in document(tmp_path / "b.zip")["pictures"] if one["view"] == "front"]
    assert (front["overruled"], front["match"]) == ("face_below_gate", 0.75)


def test_the_same_sheet_and_review_give_the_same_bytes(store: SafeStore, tmp_path: Path) -> None:
    first = exported(store, MadeSheet(), tmp_path / "a.zip")
    other = memory_store()
    second = exported(other, MadeSheet(), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert first.sha256 == second.sha256
    assert first.sha256 == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()


def test_the_bucket_gets_the_same_bytes_once(store: SafeStore, tmp_path: Path) -> None:
    filed = exported(store, MadeSheet(), tmp_path / "a.zip")
    first = export_sheet(store, "ann", MODELS)
    written = store.get(export_key("ann", filed.sha256))
    second = export_sheet(store, "ann", MODELS)
    assert first.place == second.place == f"exports/ann/{filed.sha256}.zip"
    assert (first.fresh, second.fresh) == (True, False)
    assert written is not None
    assert written.body == (tmp_path / "a.zip").read_bytes()
    assert [entry.key for entry in listed(store, "exports/")] == [first.place]


def test_consent_provenance_and_licences_are_inside(store: SafeStore, tmp_path: Path) -> None:
    consent = {"subject": "consented", "record": "file 7,\nsigned"}
    made = exported(store, MadeSheet(consent=consent), tmp_path / "a.zip")
    found = contents(tmp_path / "a.zip")
    told = document(tmp_path / "a.zip")
    assert told["consent"] == consent
    assert told["provenance"]["models"].keys() == {
        "sd_xl_base_1.0.safetensors",
        "ip-adapter.bin",
        "instantid-controlnet.safetensors",
    }
    assert (
        told["manifest_sha256"] == hashlib.sha256(MadeSheet(consent=consent).manifest).hexdigest()
    )
    assert made.document.commercial_use is False, "antelopev2 is for research"
    licences = found["LICENCES.txt"].decode()
    assert licences.startswith("Commercial use of these pictures: no\n")
    assert "models/antelopev2/glintr100.onnx" in licences
    readme = found["README.txt"].decode()
    assert "Consent         consented: file 7, signed\n" in readme
    assert 'python "$AI_TOOLKIT/run.py" ai-toolkit.yaml' in readme
    assert "sdxl_train_network.py" in readme


def test_no_prompt_and_no_trait_of_the_person_is_in_it(store: SafeStore, tmp_path: Path) -> None:
    exported(store, MadeSheet(), tmp_path / "a.zip")
    assert not [name for name, body in contents(tmp_path / "a.zip").items() if b"red hair" in body]


def test_a_loras_sheet_keeps_its_trigger_word_and_the_caller_may_choose_another(
    store: SafeStore, tmp_path: Path
) -> None:
    lora = LoraFile("a.safetensors", "loras/a.safetensors", "0" * 64, "annx")
    sheet = MadeSheet(input={"lora_name": "a", "base": "flux-dev"}, lora=lora)
    own = exported(store, sheet, tmp_path / "a.zip").document
    assert own.pictures[0].caption.startswith("annx person, close-up")
    other = export_sheet(
        store, "ann", MODELS, tmp_path / "b.zip", Wish("zzz", "woman", "z-image-turbo")
    ).document
    assert other.pictures[0].caption.startswith("zzz woman, close-up")
    assert "annx" not in other.pictures[0].caption
    assert (other.base, other.train_for) == ("flux-dev", "z-image-turbo")
    assert b"has no script for z-image-turbo" in contents(tmp_path / "b.zip")["README.txt"]


def test_the_callers_name_breaks_no_line(store: SafeStore, tmp_path: Path) -> None:
    exported(store, MadeSheet(input={"name": "Ann\n<b>\x1b[1m"}), tmp_path / "a.zip")
    [first, *_] = contents(tmp_path / "a.zip")["README.txt"].decode().splitlines()
    assert first == "Ann <b> (1m: 10 pictures to train a LoRA on, with captions"


def test_a_set_that_cannot_be_trained_on_is_made_and_says_so(
    store: SafeStore, tmp_path: Path
) -> None:
    made = exported(store, MadeSheet(input=WITHOUT_TRAINABLE), tmp_path / "a.zip")
    assert not made.document.set.trainable
    assert b"Trainable       NO: 2 pictures, and 8" in contents(tmp_path / "a.zip")["README.txt"]


def refused(store: SafeStore, out: Path, kind: type[Exception]) -> Any:
    with pytest.raises(kind) as error:
        export_sheet(store, "ann", MODELS, out)
    assert not [*out.parent.iterdir()], "something was left"
    with pytest.raises(kind):
        export_sheet(store, "ann", MODELS)
    assert not [*listed(store, "exports/")]
    return error.value


def test_a_sheet_that_has_not_ended_is_refused(store: SafeStore, tmp_path: Path) -> None:
    MadeSheet().put(store)
    store.raw.delete(result_key("ann"))
    assert "has not ended" in refused(store, tmp_path / "a.zip", InvalidInput).message


def test_a_job_that_nobody_sent_is_refused(store: SafeStore, tmp_path: Path) -> None:
    refused(store, tmp_path / "a.zip", UnknownJob)


def test_a_job_that_is_no_sheet_is_refused(store: SafeStore, tmp_path: Path) -> None:
    MadeSheet(result={"model": "flux-dev"}).put(store)
    assert "flux-dev" in refused(store, tmp_path / "a.zip", InvalidInput).message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"erased": true}'])
def test_an_object_that_is_no_result_is_refused(
    store: SafeStore, tmp_path: Path, body: bytes
) -> None:
    MadeSheet().put(store)
    store.raw.put(result_key("ann"), body, Always())
    refused(store, tmp_path / "a.zip", InvalidInput)


def test_a_sheet_that_was_never_begun_is_refused(store: SafeStore, tmp_path: Path) -> None:
    MadeSheet().put(store)
    store.raw.delete("jobs/ann/plan.json")
    refused(store, tmp_path / "a.zip", InvalidInput)


def test_a_sheet_of_no_picture_that_passes_says_why_of_each(
    store: SafeStore, tmp_path: Path
) -> None:
    MadeSheet(input=WITHOUT_TRAINABLE, faults={"front": "wrong_yaw"}).put(store)
    change_review(store, "ann", "acme", {"back": Mark(Verdict.REJECT)})
    said = refused(store, tmp_path / "a.zip", DatasetError).message
    assert said.endswith("01-front wrong_yaw, 02-back rejected")


def test_a_picture_that_is_gone_is_named(store: SafeStore, tmp_path: Path) -> None:
    MadeSheet().put(store)
    store.raw.delete("jobs/ann/out/a1/10-front-dynamic.png")
    error = refused(store, tmp_path / "a.zip", OutputsMissing)
    assert error.value == "10-front-dynamic"


@pytest.mark.parametrize("more", [b"", b"more", bytes(100_000)])
def test_a_picture_with_other_bytes_is_named(store: SafeStore, tmp_path: Path, more: bytes) -> None:
    sheet = MadeSheet()
    sheet.put(store)
    last = sheet.plan.views[-1]
    body = sheet.body(last) + more if more else sheet.body(last)[:-1]
    store.raw.put(sheet.key(last), body, Always())
    assert refused(store, tmp_path / "a.zip", OutputInvalid).value == "10-front-dynamic"


def test_a_manifest_with_other_bytes_says_nothing_of_consent(
    store: SafeStore, tmp_path: Path
) -> None:
    MadeSheet().put(store)
    store.raw.put(
        manifest_key("ann"), MadeSheet(consent={"subject": "synthetic"}).manifest, Always()
    )
    error = refused(store, tmp_path / "a.zip", OutputInvalid)
    assert "manifest" in error.message
    assert (error.field, error.value) == ("key", manifest_key("ann"))
    assert "put it back" in str(error.hint)


def test_a_document_that_is_gone_is_no_view_to_be_made_again(
    store: SafeStore, tmp_path: Path
) -> None:
    key = "jobs/ann/out/a1/sheet.json"
    gone = {"name": "sheet.json", "key": key, "bytes": 2, "sha256": "0" * 64}
    MadeSheet(result={"files": [{**gone, "content_type": "application/json"}]}).put(store)
    error = refused(store, tmp_path / "a.zip", OutputsMissing)
    assert (error.field, error.value) == ("key", key)
    assert "put it back" in str(error.hint)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sizes": {"front": (500, 512)}}, "of 500x512 not both sides are multiples of 64"),
        ({"sizes": {"front": (512, 500)}}, "of 512x500 not both sides are multiples of 64"),
        ({"bodies": {"front": b"GIF89a" + bytes(99)}}, "it is neither PNG nor JPEG"),
        ({"bodies": {"front": b"<html>"}}, "it is neither PNG nor JPEG"),
        ({"bodies": {"front": b"\x89PNG\r\n\x1a\n" + bytes(99)}}, "it is damaged or cut off"),
        ({"bodies": {"front": b"RIFF....WEBPVP8 "}}, "it is damaged or cut off"),
    ],
)
def test_what_no_trainer_would_take_is_named(
    store: SafeStore, tmp_path: Path, changes: Any, why: str
) -> None:
    MadeSheet(**changes).put(store)
    error = refused(store, tmp_path / "a.zip", OutputInvalid)
    assert error.value == "01-front"
    assert why in error.message


def test_what_stood_in_the_files_place_stays_when_the_export_fails(
    store: SafeStore, tmp_path: Path
) -> None:
    exported(store, MadeSheet(), tmp_path / "a.zip")
    before = (tmp_path / "a.zip").read_bytes()
    store.raw.delete("jobs/ann/out/a1/10-front-dynamic.png")
    with pytest.raises(OutputsMissing):
        export_sheet(store, "ann", MODELS, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == before


def test_a_cancelled_sheet_is_exported_as_far_as_it_got(store: SafeStore, tmp_path: Path) -> None:
    made = exported(store, MadeSheet(result={"status": "cancelled"}), tmp_path / "a.zip")
    assert len(made.document.pictures) == 10


def test_webp_becomes_png_with_the_note_that_a_model_made_it(
    store: SafeStore, tmp_path: Path
) -> None:
    made = exported(store, MadeSheet(format="WEBP"), tmp_path / "a.zip")
    picture = made.document.pictures[0]
    body = contents(tmp_path / "a.zip")[picture.file]
    with Image.open(io.BytesIO(body)) as image:
        assert image.format == "PNG"
    assert b"trainedAlgorithmicMedia" in body
    assert picture.sha256 == hashlib.sha256(body).hexdigest() != picture.source_sha256
