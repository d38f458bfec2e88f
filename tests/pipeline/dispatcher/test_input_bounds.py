"""Inputs of strangers, made to cost much: each is judged within a time and a memory of its own.

Bounds hold for a loaded machine with memory traced: some ten times what is usual.
"""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import LoraError, RylaError
from config.settings import Settings
from handlers.loras.bases import flux
from handlers.loras.fit import check
from handlers.loras.header import BytesRanges
from pipeline.api.request_errors import BadRequest
from pipeline.api.routes import sns
from pipeline.api.routes.doorbell import MAX_BODY
from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.manifest import parse_manifest
from pipeline.dispatcher.preflight import check_work
from pipeline.runtime import load_runtime
from tests.support.bounds import bounded
from tests.support.safetensors_files import Spec, safetensors, with_header

RUNTIME = load_runtime(Settings(), "local")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
SECONDS, MEBIBYTES = 2.0, 48.0


def judge(body: bytes) -> None:
    """As a dispatcher does before it starts anything."""
    with suppress(RylaError):
        manifest = parse_manifest(body)
        RUNTIME.policy.check_prompt(str(getattr(manifest.input, "prompt", "")), nsfw=False)
        check_work("job", manifest, RUNTIME)


def manifest(**input: Any) -> bytes:
    return json.dumps({"version": 1, "model": "flux-dev", "input": input}).encode()


def workflow(graph: dict[str, Any]) -> bytes:
    body = {"version": 1, "model": "workflow", "input": {"workflow": graph}}
    return json.dumps(body).encode()


def filled(head: bytes, piece: bytes, tail: bytes) -> bytes:
    """As large as a manifest may be."""
    return head + piece * ((MAX_BYTES - len(head) - len(tail)) // len(piece)) + tail


def doubled(class_type: str, first: str, second: str) -> dict[str, Any]:
    nodes = {
        str(n): {"class_type": class_type, "inputs": {first: [str(n - 1), 0],
                                                      second: [str(n - 1), 0]}}
        for n in range(1, 198)
    }  # fmt: skip
    saved = {"class_type": "SaveImage", "inputs": {"images": ["197", 0], "filename_prefix": "x"}}
    size = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
    return {"0": {"class_type": "EmptyImage", "inputs": size}, **nodes, "198": saved}


MANIFESTS = {
    "nested lists": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested objects": filled(b'{"a":', b'{"a":', b"1"),
    "many fields": json.dumps({f"f{n}": n for n in range(18_000)}).encode()[:MAX_BYTES],
    "unknown fields of the input": manifest(**{f"promt{n}": 1 for n in range(9_000)}),
    "a long number": filled(b'{"version":', b"9", b"}"),
    "a long prompt": manifest(prompt="n u d e " * 30_000),
    "the longest prompt": manifest(prompt=("c#i.l" * 800)[:4000]),
    "one list": filled(b"[", b"1,", b"1]"),
    "many nulls": filled(b'{"version":1,"model":"flux-dev","input":{}}', b"\0", b""),
    "a graph of 200 doubled nodes": workflow(doubled("ImageBatch", "image1", "image2")),
    "a graph of 200 blended nodes": workflow(doubled("ImageBlend", "image1", "image2")),
    "a graph of strangers": workflow({str(n): {"class_type": "x" * 900, "inputs": {}}
                                      for n in range(200)}),
}  # fmt: skip


@pytest.mark.parametrize("body", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_that_is_made_to_cost_much_is_judged_within_bounds(body: bytes) -> None:
    assert len(body) <= 2 * MAX_BYTES
    judge(b"{}")
    with bounded(SECONDS, MEBIBYTES):
        judge(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=30,
)
CLASSES = st.sampled_from(
    ["EmptyImage", "ImageBatch", "ImageScaleBy", "KSampler", "SaveImage", "VAEDecode", "Nothing"]
)
INPUTS = st.sampled_from(["image", "image1", "scale_by", "width", "images", "samples", "steps"])
VALUES = JSON | st.tuples(st.sampled_from("0123"), st.integers(-1, 3)).map(list)
GRAPHS = st.dictionaries(
    st.sampled_from("0123"),
    st.fixed_dictionaries({"class_type": CLASSES, "inputs": st.dictionaries(INPUTS, VALUES)}),
)


@QUICK
@given(JSON, GRAPHS)
def test_any_manifest_and_any_graph_is_judged_within_bounds(value: Any, graph: Any) -> None:
    for body in (manifest(prompt=value, workflow=value), workflow(graph)):
        with bounded(SECONDS, MEBIBYTES):
            judge(body)


def loras() -> dict[str, bytes]:
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    strange = {f"x.{n}.lokr_w1": Spec((0,)) for n in range(3000)}
    halves = {f"{stem}{n}.lora_up.weight": Spec((0, 0)) for n in range(3000)}
    return {
        "many strange layers": safetensors(strange),
        "many halves": safetensors(halves),
        "many tensors of no kind": safetensors({f"t{n}": Spec((0,)) for n in range(4000)}),
        "long names": safetensors({f"{'a.' * 5000}{n}": Spec((0,)) for n in range(100)}),
        "nested": with_header(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "large sizes": with_header({"a": {"dtype": "F16", "shape": [2**62] * 8,
                                          "data_offsets": [0, 1]}}),
    }  # fmt: skip


LORAS = loras()


@pytest.mark.parametrize("body", LORAS.values(), ids=LORAS.keys())
def test_a_lora_that_is_made_to_cost_much_is_judged_within_bounds(body: bytes) -> None:
    base = flux()
    with bounded(SECONDS, MEBIBYTES), suppress(LoraError):
        check(BytesRanges(body), base)


@QUICK
@given(st.binary(max_size=400), JSON)
def test_any_header_is_judged_within_bounds(body: bytes, value: Any) -> None:
    for file in (body, with_header(json.dumps(value).encode())):
        with bounded(SECONDS, MEBIBYTES), suppress(LoraError):
            check(BytesRanges(file), flux())


SNS = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&"
DOORBELLS = {
    "nested": b"[" * MAX_BODY,
    "many fields": json.dumps({f"f{n}": n for n in range(4000)}).encode()[:MAX_BODY],
    "a long address": json.dumps({"SubscribeURL": SNS + "a=b&" * 14_000}).encode()[:MAX_BODY],
    "no text": b"\xff" * MAX_BODY,
}


@pytest.mark.parametrize("body", DOORBELLS.values(), ids=DOORBELLS.keys())
def test_a_doorbells_message_is_judged_within_bounds(body: bytes) -> None:
    with bounded(SECONDS, MEBIBYTES), suppress(BadRequest):
        sns.confirmation(body)


@QUICK
@given(JSON)
def test_any_doorbells_message_is_judged_within_bounds(value: Any) -> None:
    for message in (value, {"SubscribeURL": value}):
        with bounded(SECONDS, MEBIBYTES), suppress(BadRequest):
            sns.confirmation(json.dumps(message).encode())
