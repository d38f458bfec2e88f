import json
from typing import Any

import pytest

from pipeline.erasure.trace import JobTrace, trace_of


def traced(id: str = "one", **document: object) -> JobTrace:
    return trace_of(id, json.dumps({"version": 1, "tenant": "acme", **document}).encode())


@pytest.mark.parametrize(
    "document",
    [
        {"metadata": {"subject": "ann"}},
        {"input": {"name": "ann"}},
        {"input": {"lora_id": "ann"}},
        {"consent": {"subject": "consented", "record": "ann"}},
    ],
)
def test_a_person_is_named_by_any_of_four_fields(document: dict[str, Any]) -> None:
    assert traced(**document).subjects == {"ann"}


def test_who_consented_is_no_name() -> None:
    assert traced(consent={"subject": "synthetic", "record": "file 7"}).subjects == {"file 7"}


def test_pictures_are_found_wherever_the_input_names_them() -> None:
    graph = {"1": {"inputs": {"image": "inputs/a.png"}}}
    trace = traced(input={"graph": graph, "reference_images": ["inputs/b.png", "c.png"]})
    assert trace.inputs == {"inputs/a.png", "inputs/b.png"}


@pytest.mark.parametrize("text", ["inputs/../jobs/other/result.json", "inputs/" + "a" * 1025])
def test_a_text_that_is_no_key_is_no_picture(text: str) -> None:
    assert traced(input={"prompt": text, "reference_images": ["inputs/b.png"]}).inputs == {
        "inputs/b.png"
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"input": 7, "metadata": []}', b"\xff\xfe"])
def test_what_cannot_be_read_shows_nobody(body: bytes) -> None:
    trace = trace_of("one", body)
    assert (trace.tenant, trace.bears) == ("default", False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_a_manifest_that_is_refused_for_its_characters_shows_whom_it_names(encoding: str) -> None:
    shown = {"name": "Ann", "description": "\ud83d", "reference_images": ["inputs/a.png"]}
    trace = trace_of("one", json.dumps({"tenant": "acme", "input": shown}).encode(encoding))
    assert trace.tenant == "acme"
    assert trace.subjects == {"Ann"}
    assert trace.inputs == {"inputs/a.png"}


@pytest.mark.parametrize(("depth", "shown"), [(150, {"Ann"}), (500, {"Ann"}), (100_000, set())])
def test_a_text_may_stand_deep_and_too_deep_is_nothing(depth: int, shown: set[str]) -> None:
    deep = "[" * depth + '"inputs/a.png"' + "]" * depth
    trace = trace_of("one", f'{{"input": {{"name": "Ann", "graph": {deep}}}}}'.encode())
    assert trace.subjects == shown
    assert trace.inputs == ({"inputs/a.png"} if shown else set())


def test_a_job_is_made_of_the_sheet_whose_views_it_reuses() -> None:
    redo = traced("any", input={"reuse": {"job": "ann", "views": ["front"]}})
    assert redo.made_of({"ann": None}) == "ann"
    assert redo.made_of({"bob": None}) is None


@pytest.mark.parametrize("id", ["ann-r2", "ann-r10", "ann-c1"])
def test_a_redo_and_a_comparison_are_told_by_id_and_person(id: str) -> None:
    ann = traced("ann", input={"name": "Ann"})
    assert traced(id, input={"name": "Ann"}).made_of({"ann": ann}) == "ann"
    assert traced(id, input={"name": "Bob"}).made_of({"ann": ann}) is None


@pytest.mark.parametrize("id", ["ann-2", "ann-r", "ann-r02", "ann-x1", "xann-r2"])
def test_another_id_is_of_neither(id: str) -> None:
    ann = traced("ann", input={"name": "Ann"})
    assert traced(id, input={"name": "Ann"}).made_of({"ann": ann}) is None


def test_of_a_long_id_its_successors_have_the_first_part() -> None:
    long = "a" * 96
    base = traced(long, input={"name": "Ann"})
    assert traced("a" * 90 + "-r2", input={"name": "Ann"}).made_of({long: base}) == long
