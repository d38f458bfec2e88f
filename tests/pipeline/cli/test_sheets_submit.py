import json
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from pipeline.batches.batch import Batch
from pipeline.cli.sheets_submit import require_yes
from pipeline.contract.document import canonical
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.pictures import encoded

Table = Callable[..., Path]
HEADER = "character;reference_images;description;attempts_per_view;views"
ROWS = (
    "Ann;faces/ann.png;a woman;2;front|back",
    "Bob;faces/ann.png|faces/bob.png;a man;1;front",
    "Cleo Ünal;faces/bob.png;;1;front",
)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    (tmp_path / "faces").mkdir()
    for name, shade in (("ann", 40), ("bob", 90)):
        body = encoded(Image.new("RGB", (64, 64), (shade, 20, 30)))
        (tmp_path / "faces" / f"{name}.png").write_bytes(body)

    def table(*rows: str, header: str = HEADER, name: str = "characters.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join((header, *(rows or ROWS))), encoding="utf-8-sig")
        return path

    return table


def keys(store: SafeStore, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix).entries]


def batch(store: SafeStore, name: str = "autumn") -> Batch:
    stored = store.get(f"batches/{name}.json")
    assert stored is not None
    found = Batch.parse(stored.body)
    assert found is not None
    return found


def codes(err: str) -> list[Any]:
    return [json.loads(line)["error"] for line in err.splitlines() if line.startswith("{")]


def submit(ryla: Ryla, path: Path, *more: str, name: str = "autumn", **environ: str) -> Any:
    return ryla("sheets", "submit", path, "--name", name, "--yes", "--json", *more, **environ)


def test_each_row_becomes_a_sheet_and_the_batch_says_which(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    answer = submit(ryla, table(), "--tenant", "acme", "--budget-usd", "5")

    assert answer.code == 0, answer.err
    assert "Batch autumn: 3 sheets" in answer.err
    assert "budget: $5" in answer.err
    ids = ["autumn-002-ann", "autumn-003-bob", "autumn-004-cleo-unal"]
    assert [job["id"] for job in answer.document["jobs"]] == ids
    assert answer.document["sent"] == 3
    assert 0 < answer.document["estimate"]["usd"] <= answer.document["estimate"]["most_usd"] < 5
    assert keys(store, "inbox/") == [f"inbox/4.acme.character-sheet.{id}.json" for id in ids]
    assert len(keys(store, "inputs/")) == 2
    made = batch(store)
    assert [(row.row, row.id, row.character) for row in made.rows] == [
        (2, ids[0], "Ann"),
        (3, ids[1], "Bob"),
        (4, ids[2], "Cleo Ünal"),
    ]
    assert (made.tenant, made.budget_usd) == ("acme", 5)
    manifest = store.get("inbox/4.acme.character-sheet.autumn-003-bob.json")
    assert manifest is not None
    said = json.loads(manifest.body)
    assert (
        said["input"]["reference_images"] == [*reversed(keys(store, "inputs/"))]
        or len(said["input"]["reference_images"]) == 2
    )
    assert said["tenant"] == "acme"


def test_the_same_file_again_sends_what_is_missing(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    submit(ryla, table())
    before = store.get("batches/autumn.json")
    store.delete("inbox/4.default.character-sheet.autumn-003-bob.json")
    answer = submit(ryla, table())

    assert answer.code == 0, answer.err
    assert "3 sheets, 2 of them are there already" in answer.err
    assert (answer.document["sent"], answer.document["already_there"]) == (1, 2)
    assert len(keys(store, "inbox/")) == 3
    after = store.get("batches/autumn.json")
    assert before is not None
    assert after is not None
    assert before.etag == after.etag
    again = submit(ryla, table())
    assert (again.code, again.document["sent"], again.err) == (0, 0, "")


def without_batch(body: bytes) -> bytes:
    document = json.loads(body)
    del document["batch"]
    return canonical(document)


def test_a_batch_of_before_manifests_said_their_batch_is_continued_by_its_file(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    submit(ryla, table())
    rows = []
    for row in batch(store).rows:
        key = f"inbox/4.default.character-sheet.{row.id}.json"
        sent = store.get(key)
        assert sent is not None
        former = without_batch(sent.body)
        store.raw.put(key, former, Always())
        rows.append(row.model_copy(update={"manifest_sha256": sha256(former).hexdigest()}))
    begun = batch(store).model_copy(update={"rows": tuple(rows)})
    store.raw.put("batches/autumn.json", begun.body(), Always())
    store.delete("inbox/4.default.character-sheet.autumn-003-bob.json")
    answer = submit(ryla, table())

    assert answer.code == 0, answer.err
    assert (answer.document["sent"], answer.document["already_there"]) == (1, 2)
    assert batch(store) == begun
    other = table(ROWS[0].replace("a woman", "an old woman"), *ROWS[1:])
    assert "changed: row 2" in submit(ryla, other).error["message"]


def test_another_file_under_the_name_is_refused_by_its_rows(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    submit(ryla, table())
    before = keys(store)
    other = table(ROWS[0], ROWS[1].replace("a man", "an old man"), "", "Dan;faces/bob.png;;1;front")
    answer = submit(ryla, other)

    assert answer.code == 1
    assert answer.error["code"] == "batch_conflict"
    assert (
        "changed: row 3; only in this file: row 5; only in the batch: row 4"
        in (answer.error["message"])
    )
    assert submit(ryla, table(), "--tenant", "acme").error["code"] == "batch_conflict"
    assert keys(store) == before


def test_every_bad_row_is_named_at_once_and_nothing_is_sent(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    answer = submit(
        ryla,
        table(
            "Ann;faces/ann.png;a woman;20;front",
            "ann ;faces/nobody.png;;1;front",
            ";faces/ann.png;;1;front",
            "Dan;;;1;front",
            "Eve;inputs/gone.png;;1;front",
            "Fay;faces/ann.png;;few;front",
            "Gus;faces/ann.png;a child, nude;1;front",
        ),
    )
    told = [(each["message"], each.get("hint", "")) for each in codes(answer.err)]

    assert answer.code == 1
    assert keys(store) == []
    assert [message.partition(":")[0] for message, _ in told] == [
        "row 2, attempts_per_view",
        "row 3, character",
        "row 3, reference_images",
        "row 4, character",
        "row 5",
        "row 6, reference_images",
        "row 7, attempts_per_view",
        "row 8",
    ]
    assert "may be 1 to 8" in told[0][1]
    assert "row 2 has this character" in told[1][0]
    assert "folder of this file" in told[2][1]
    assert "reference_images, lora_id or lora_name is required" in told[4][0]
    assert "not in the bucket" in told[5][0]
    said = ryla("sheets", "submit", table("Ann;;;20;front"), "--name", "autumn").err
    assert "\n1 problem. Nothing was sent." in said


def test_a_lora_that_is_not_there_is_named_by_its_row(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    rows = ("Ann;ann;sdxl", "Bob;ann;sdxl")
    answer = submit(ryla, table(*rows, header="character;lora_id;base"))

    assert [each["code"] for each in codes(answer.err)] == ["invalid_row", "invalid_row"]
    assert "row 2" in codes(answer.err)[0]["message"]
    assert keys(store) == []


def test_an_estimate_above_the_budget_is_refused_with_the_numbers(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    answer = submit(ryla, table(), "--budget-usd", "0.0001")

    assert answer.error["code"] == "over_budget"
    assert "the budget is $0.0001" in answer.error["message"]
    assert "Allow $0.0" in answer.error["hint"]
    assert keys(store) == []


def test_a_row_costs_no_more_than_its_own_budget(ryla: Ryla, table: Table) -> None:
    free = submit(ryla, table("Ann;faces/ann.png;;8;front")).document["estimate"]
    cap = (free["usd"] + free["most_usd"]) / 2
    row = f"Ann;faces/ann.png;;8;front;{cap}"
    capped = table(row, header=f"{HEADER};max_cost_usd")
    answer = submit(ryla, capped, "--budget-usd", str(cap), name="capped")

    assert answer.document["estimate"] == {**free, "most_usd": cap}


def test_without_a_terminal_it_needs_yes(ryla: Ryla, store: SafeStore, table: Table) -> None:
    answer = ryla("sheets", "submit", table(), "--name", "autumn")

    assert answer.code == 1
    assert "--yes" in answer.err
    assert keys(store) == []


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("word", ["y", "n"])
def test_a_person_at_a_terminal_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{word}\n"))
    with nullcontext() if word == "y" else pytest.raises(typer.Abort):
        require_yes(3, yes=False)

    assert "Send 3 sheets?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("--name", "Autumn!"), ("--tenant", "A B")], ids=["name", "tenant"]
)
def test_what_can_be_no_name_is_refused(ryla: Ryla, table: Table, option: str, value: str) -> None:
    answer = ryla("sheets", "submit", table(), "--name", "a", option, value, "--yes", "--json")

    assert answer.error["code"] == "batch_error"


def test_a_row_whose_id_is_another_jobs_is_told_and_the_others_are_sent(
    ryla: Ryla, store: SafeStore, table: Table
) -> None:
    store.create("inbox/4.default.character-sheet.autumn-003-bob.json", b"{}")
    answer = submit(ryla, table())

    assert answer.code == 1
    assert (answer.document["sent"], answer.document["failed"]) == (2, 1)
    assert answer.document["jobs"][1]["error"]["code"] == "id_conflict"
