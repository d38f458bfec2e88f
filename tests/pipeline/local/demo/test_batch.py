import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from config.errors import InvalidRow
from config.settings import Settings
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Status
from pipeline.local.demo.batch import FILE, PAGE, load_batch, look_at_batch, send_batch
from pipeline.local.demo.checks import check_run
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.face import add_demo_people
from pipeline.local.demo.lora import add_demo_lora
from pipeline.local.demo.manifests import EXAMPLES
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore

pytestmark = pytest.mark.xdist_group("demo")


def faults(run: DemoRun) -> list[str]:
    return [fault for check in check_run(run) for fault in check.faults]


def test_its_three_characters_are_a_face_two_pictures_of_one_and_a_lora() -> None:
    batch = load_batch(EXAMPLES)

    assert batch is not None
    inputs = [example.input for example in batch.examples]
    assert [len(given.get("reference_images", ())) for given in inputs] == [1, 2, 0]
    assert [given.get("lora_id") for given in inputs] == [None, None, "demo-muse"]
    assert {given["base"] for given in inputs} == {"sdxl", "flux-dev", "z-image-turbo"}
    assert [(each.retried, each.missing) for each in batch.examples] == [
        (("front",), ()),
        ((), ("front",)),
        ((), ()),
    ]


def test_it_is_sent_as_its_rows_say_and_once_though_it_is_sent_twice(tmp_path: Path) -> None:
    store, settings = SafeStore(MemoryStore()), Settings()
    demo = load_batch(EXAMPLES)
    assert demo is not None
    add_demo_people(store, demo.examples)
    add_demo_lora(store, settings, demo.examples)
    batch, sent_again = send_batch(store, load_runtime(settings, "local"), demo)
    seen = look_at_batch(store, batch, sent_again, tmp_path)

    assert sent_again == 0
    assert [line.standing.state for line in seen.lines] == ["waiting"] * 3
    for example, row in zip(demo.examples, batch.rows, strict=True):
        stored = store.get(example.entry)
        assert stored is not None
        assert stored.body == example.body
        assert example.id == row.id
        assert parse_manifest(stored.body).tenant == batch.tenant


def test_a_folder_may_have_none_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    assert load_batch(tmp_path) is None
    (tmp_path / FILE).write_text("character,seed\nAnn,seven\n")
    with pytest.raises(InvalidRow, match="row 2, seed"):
        load_batch(tmp_path)


def test_the_demo_sends_it_and_shows_what_came_of_it(demo_run: DemoRun) -> None:
    assert demo_run.batch is not None
    lines = demo_run.batch.lines

    assert [line.standing.made for line in lines] == [3, 2, 3]
    assert [line.standing.partial for line in lines] == [False, True, False]


def test_its_page_shows_every_picture_and_links_to_it(demo_run: DemoRun, tmp_path: Path) -> None:
    text = (demo_run.out / PAGE).read_text("utf-8")
    blocks = re.findall(r'id="pictures-[0-9]+">(.*?)</script>', text)
    made = [picture for each in blocks for picture in json.loads(each) if picture]
    assert len(made) >= 8
    assert all(picture["webp"] for picture in made)
    assert all((demo_run.out / unquote(picture["link"])).is_file() for picture in made)

    shutil.copytree(demo_run.out, tmp_path / "out")
    (tmp_path / "out" / PAGE).unlink()
    assert demo_run.batch is not None
    unseen = replace(demo_run.batch, unseen={"jobs/x.png": "gone from the bucket"})
    assert faults(replace(demo_run, out=tmp_path / "out", batch=unseen)) == [
        f"{PAGE} is not there",
        f"{PAGE} lacks jobs/x.png: gone from the bucket",
    ]


def test_a_batch_that_is_not_what_came_of_it_is_found(demo_run: DemoRun) -> None:
    assert demo_run.batch is not None
    first = demo_run.batch.batch.rows[0].id
    results = {**demo_run.results, first: demo_run.results["watchmaker"]}
    again = replace(demo_run, batch=replace(demo_run.batch, sent_again=2))

    assert f"row 2: {first} is not its job" in faults(replace(demo_run, results=results))
    assert "sent again, it sent 2 jobs" in faults(again)
    failed = demo_run.results[first].model_copy(update={"status": Status.FAILED})
    shown = faults(replace(demo_run, results={**demo_run.results, first: failed}))
    assert "row 2 is shown as succeeded with 3 views" in shown


def test_a_batch_whose_object_is_another_is_found(demo_run: DemoRun, tmp_path: Path) -> None:
    shutil.copytree(demo_run.out, tmp_path / "out")
    (tmp_path / "out/batches/demo.json").write_bytes(b"{}")

    assert faults(replace(demo_run, out=tmp_path / "out")) == [
        "demo.json is not the batch that was sent"
    ]
