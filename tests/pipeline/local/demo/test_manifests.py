import json
from pathlib import Path

import pytest

from config.errors import BadManifest, InvalidId, InvalidInput
from pipeline.contract.keys import parse_inbox_key
from pipeline.contract.manifest import check_key, parse_manifest
from pipeline.contract.result import Status
from pipeline.local.demo.manifests import EXAMPLES, Example, load_examples, read_example

REFUSED_FOR_ITS_NEEDS = ("muse-misnamed",)
"""Fine as a manifest, but the bucket lacks what it names."""


@pytest.mark.parametrize("example", load_examples(EXAMPLES), ids=lambda example: example.id)
def test_each_example_is_what_it_says_it_is(example: Example) -> None:
    if example.expected is Status.SUCCEEDED or example.id in REFUSED_FOR_ITS_NEEDS:
        check_key(parse_inbox_key(example.entry), parse_manifest(example.body))
    else:
        with pytest.raises(BadManifest) as refusal:
            parse_manifest(example.body)
        assert refusal.value.hint


def test_the_examples_cover_kinds_formats_tenants_and_both_forms_of_keys() -> None:
    examples = load_examples(EXAMPLES)

    assert {example.model for example in examples} >= {"flux-dev", "flux-schnell", "flux-lora"}
    assert {example.document.get("tenant") for example in examples} >= {"acme", "nova", None}
    assert {example.entry.count(".") for example in examples} == {1, 4}
    inputs = [example.input for example in examples]
    assert {given.get("output_format", "png") for given in inputs} == {"png", "jpeg", "webp"}
    assert {0, None} <= {given.get("seed") for given in inputs}
    assert max(given.get("num_images", 1) for given in inputs) > 1


def test_a_manifest_without_tenant_and_priority_goes_in_under_its_bare_id() -> None:
    bare = read_example("one", b'{"version": 1, "model": "flux-dev", "input": {"prompt": "x"}}')
    keyed = read_example("two", b'{"version": 1, "model": "flux-dev", "priority": 9}')

    assert bare.entry == "inbox/one.json"
    assert keyed.entry == "inbox/0.default.flux-dev.two.json"


def test_a_sheet_says_which_views_are_made_twice_and_which_it_ends_without() -> None:
    by_id = {each.id: each for each in load_examples(EXAMPLES)}
    flux, z_image = by_id["rosa-sheet-flux"], by_id["rosa-sheet-z-image"]

    assert (flux.retried, flux.missing, flux.pictures) == (("front",), (), 3)
    assert (z_image.retried, z_image.missing, z_image.pictures) == ((), ("left",), 2)
    assert by_id["watchmaker"].sheet is None


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        json.dumps({"metadata": {"expect": "x"}}).encode(),
        json.dumps({"metadata": {"retried": 1}}).encode(),
    ],
)
def test_a_file_that_cannot_say_what_it_expects_is_named(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"one\.json"):
        read_example("one", body)


def test_a_file_must_be_named_for_a_job() -> None:
    with pytest.raises(InvalidId):
        read_example("Not An Id", b"{}")


def test_a_folder_without_manifests_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        load_examples(tmp_path)

    assert "--manifests" in str(error.value.hint)
