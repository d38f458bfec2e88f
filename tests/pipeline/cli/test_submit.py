import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.manifests import manifest
from tests.support.sheets import sheet_manifest

Write = Callable[..., Path]


def keys(store: SafeStore, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix).entries]


def test_a_file_goes_into_the_inbox_under_its_name(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    answer = ryla("submit", write("cat.json", tenant="acme", priority=7))

    assert answer.code == 0, answer.err
    assert "cat  submitted  waiting" in answer.out
    assert keys(store) == ["inbox/2.acme.flux-dev.cat.json"]


def test_a_folder_and_jsonl_go_together(ryla: Ryla, store: SafeStore, write: Write) -> None:
    write("many/one.json")
    write("many/two.json")
    lines = [json.dumps({"id": f"line-{n}", **manifest()}) for n in range(3)]
    (write("x.json").parent / "lines.jsonl").write_text("\n".join(lines))
    answer = ryla("submit", "many", "lines.jsonl", "--json")

    assert [job["id"] for job in answer.document["jobs"]] == [
        "one",
        "two",
        "line-0",
        "line-1",
        "line-2",
    ]
    assert len(keys(store, "inbox/")) == 5


def test_a_broken_off_run_is_repeated_without_harm(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    write("many/one.json")
    ryla("submit", "many")
    write("many/two.json")
    jobs = ryla("submit", "many", "--json").document["jobs"]

    assert [(job["sent"], job["state"]) for job in jobs] == [
        ("already_there", "waiting"),
        ("submitted", "waiting"),
    ]
    assert len(keys(store, "inbox/")) == 2


def test_id_and_bare_name_the_key(ryla: Ryla, store: SafeStore, write: Write) -> None:
    ryla("submit", write("cat.json"), "--id", "dog", "--bare")

    assert keys(store) == ["inbox/dog.json"]


def test_one_id_is_for_one_manifest(ryla: Ryla, store: SafeStore, write: Write) -> None:
    answer = ryla("submit", write("a.json"), write("b.json"), "--id", "one")

    assert answer.code == 2
    assert not keys(store)


def test_the_tenant_of_the_settings_is_written(ryla: Ryla, store: SafeStore, write: Write) -> None:
    ryla("submit", write("cat.json"), RYLA_TENANT="studio")

    assert keys(store) == ["inbox/4.studio.flux-dev.cat.json"]


def test_one_bad_manifest_keeps_all_of_them_here(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    write("many/good.json")
    write("many/typo.json", mettadata={})
    write("many/Bad Name.json")
    answer = ryla("submit", "many")

    assert answer.code == 1
    assert "unknown_field: many/typo.json" in answer.err
    assert "'metadata'" in answer.err
    assert "invalid_id: many/Bad Name.json" in answer.err
    assert "bad-name-" in answer.err
    assert "--keep-going" in answer.err
    assert not keys(store)


def test_the_good_ones_go_if_told_to(ryla: Ryla, store: SafeStore, write: Write) -> None:
    write("many/good.json")
    write("many/typo.json", mettadata={})
    answer = ryla("submit", "many", "--keep-going", "--json")

    assert answer.code == 1
    assert answer.error["code"] == "unknown_field"
    jobs = answer.document["jobs"]
    assert [job.get("error", {}).get("code") for job in jobs] == [None, "unknown_field"]
    assert keys(store) == ["inbox/4.default.flux-dev.good.json"]


def test_a_bad_one_is_sent_as_it_is_if_told_to(ryla: Ryla, store: SafeStore, write: Write) -> None:
    path = write("bad.json")
    path.write_text('{"oops"')

    assert ryla("submit", path, "--no-check").code == 0
    stored = store.get("inbox/bad.json")
    assert stored is not None
    assert stored.body == b'{"oops"'


def test_another_body_for_a_used_id_is_a_conflict(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    ryla("submit", write("cat.json"))
    answer = ryla("submit", write("cat.json", metadata={"other": 1}), "--json")

    assert answer.code == 1
    assert answer.error["code"] == "id_conflict"
    assert len(keys(store)) == 1


def test_waiting_ends_with_the_time_when_nobody_works(ryla: Ryla, write: Write) -> None:
    answer = ryla("submit", write("cat.json"), "--wait", "0.1", "--json")

    assert answer.code == 1
    assert answer.document["results"] == [{"id": "cat", "state": "waiting", "result": None}]


@pytest.mark.parametrize("other", [False, True])
def test_waiting_shows_the_result_and_tells_whose_it_is(
    ryla: Ryla, store: SafeStore, write: Write, other: bool
) -> None:
    """Under a bare key waits another body for the id: whoever is adopted first has the id."""
    path = write("cat.json")
    if other:
        ryla("submit", write("other/cat.json", metadata={"other": 1}), "--bare")
        ryla("cancel", "cat")
        store.delete("jobs/cat/manifest.json")
    else:
        ryla("submit", path)
        ryla("cancel", "cat")
    answer = ryla("submit", path, "--wait", "5", "--json")

    assert answer.code == 1
    assert answer.document["results"][0]["result"]["status"] == "cancelled"
    error = answer.document["jobs"][0].get("error")
    assert (error is not None and error["code"] == "id_conflict") is other


def test_a_sheet_s_price_and_what_its_budget_may_not_last_for_are_told(
    ryla: Ryla, tmp_path: Path
) -> None:
    sheet = tmp_path / "bea.json"
    sheet.write_bytes(sheet_manifest())
    (said,) = ryla("submit", sheet, "--json").document["jobs"]
    assert said["warnings"] == []

    sheet = tmp_path / "ann.json"
    between = (said["estimate"]["usd"] + said["estimate"]["most_usd"]) / 2
    sheet.write_bytes(sheet_manifest(max_cost_usd=between))
    (said,) = ryla("submit", sheet, "--json").document["jobs"]
    (warning,) = said["warnings"]

    shown = ryla("submit", sheet)
    least, most = said["estimate"]["usd"], said["estimate"]["most_usd"]
    assert f"${least:.4f} to ${most:.4f}" in shown.out
    assert f"{sheet}: {warning}" in shown.err


def test_what_is_sent_unchecked_is_not_priced(ryla: Ryla, write: Write) -> None:
    answer = ryla("submit", write("cat.json"), "--no-check", "--json")
    assert "estimate" not in answer.document["jobs"][0]


def test_waiting_shows_a_table_at_the_end(ryla: Ryla, write: Write) -> None:
    path = write("cat.json")
    ryla("submit", path)
    ryla("cancel", "cat")
    answer = ryla("submit", path, "--wait", "5")

    assert "cancelled" in answer.out


def twins(write: Write, *prompts: str) -> None:
    rows = [json.dumps({"id": "one", **manifest(input={"prompt": each})}) for each in prompts]
    (write("x.json").parent / "twins.jsonl").write_text("\n".join(rows))


def test_two_manifests_of_one_id_are_named_both_and_nothing_is_sent(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    twins(write, "a cat", "a dog", "a cow")
    answer = ryla("submit", "twins.jsonl")

    assert answer.code == 1
    assert "twins.jsonl:1 and twins.jsonl:2" in answer.err
    assert "twins.jsonl:1 and twins.jsonl:3" in answer.err
    assert not keys(store)


def test_the_first_of_twins_is_sent_where_the_run_goes_on(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    twins(write, "a cat", "a dog")
    answer = ryla("submit", "twins.jsonl", "--keep-going", "--json")

    assert answer.code == 1
    first, second = answer.document["jobs"]
    assert (first["sent"], second["error"]["code"]) == ("submitted", "id_conflict")
    [key] = keys(store)
    stored = store.get(key)
    assert stored is not None
    assert b"a cat" in stored.body


def test_equal_twins_are_sent_once_and_told_of_twice(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    twins(write, "a cat", "a cat")
    answer = ryla("submit", "twins.jsonl", "--json")

    assert answer.code == 0
    assert [(job["id"], job["sent"]) for job in answer.document["jobs"]] == [
        ("one", "submitted")
    ] * 2
    assert len(keys(store)) == 1


def test_who_sends_what_is_stopped_is_told_that_it_waits(ryla: Ryla, write: Write) -> None:
    ryla("stop", "--kind", "flux-dev")
    answer = ryla("submit", write("cat.json"))

    assert answer.code == 0
    assert "cat.json: it is taken in and waits: an operator has stopped" in answer.err


def test_what_has_ended_before_a_stop_does_not_wait_for_it(
    ryla: Ryla, store: SafeStore, write: Write
) -> None:
    path = write("cat.json", max_cost_usd=1e-9)
    ryla("submit", path)
    assert ryla("dispatch", "--once").code == 0
    ryla("stop", "--all")
    answer = ryla("submit", path)

    assert "rejected" in answer.out
    assert "waits" not in answer.err
