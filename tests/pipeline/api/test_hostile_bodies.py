"""Bodies that cost much, or are broken: each has its bound of processor time and memory."""

import base64
import json
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from config.errors import RylaError
from config.settings import Settings
from handlers.media.submitted import intake
from pipeline.api.job_submission import SubmissionParser
from pipeline.inputs.intake import fetch_nothing, read_image
from tests.support.pictures import encoded, heic, heic_header_alone, plain_webp, with_scans

MIB = 2**20
PARSER = SubmissionParser(Settings(), fetch_nothing)
SMALL = Image.radial_gradient("L").resize((96, 64)).convert("RGB")


@cache
def seeds() -> list[bytes]:
    return [
        encoded(SMALL),
        encoded(SMALL, "JPEG", progressive=True),
        encoded(SMALL, "WEBP"),
        encoded(SMALL, "AVIF"),
        heic(SMALL),
        heic_header_alone(),
        with_scans(40, 64),
        plain_webp(6400, 5000),
    ]


@contextmanager
def bounded(seconds: float, megabytes: float) -> Iterator[None]:
    """Of this process: its processor time, and what Python allocated at most."""
    began = resource.getrusage(resource.RUSAGE_SELF)
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    assert ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime < seconds
    assert peak < megabytes * MIB


def changed(seed: bytes, places: list[tuple[int, int]], cut: int) -> bytes:
    body = bytearray(seed)
    for at, value in places:
        body[at % len(body)] = value
    return bytes(body[: len(body) - cut % len(body)])


PICTURES = st.builds(
    changed,
    st.deferred(lambda: st.sampled_from(seeds())),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    st.just(0) | st.integers(0, 4000),
)


def _is_bounded(body: bytes) -> None:
    with bounded(seconds=5, megabytes=300):
        try:
            intake(body)
        except RylaError as error:
            assert "0x" not in error.message  # noqa: PT017


@settings(max_examples=60, deadline=None)
@given(PICTURES)
def test_any_picture_is_taken_or_refused_within_time_and_memory(body: bytes) -> None:
    _is_bounded(body)


@pytest.mark.thorough
@settings(max_examples=3000, deadline=None)
@given(PICTURES)
def test_thousands_of_pictures_are(body: bytes) -> None:
    _is_bounded(body)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["data:image/png;base64,", "data:;base64,", "data:", "data:a/b,", ""]),
    st.binary(max_size=300).map(lambda body: base64.b64encode(body).decode()) | st.text(),
)
def test_any_data_url_is_read_or_refused_within_time_and_memory(head: str, rest: str) -> None:
    with bounded(seconds=0.5, megabytes=4):
        try:
            read_image(head + rest, None, fetch_nothing)
        except RylaError as error:
            assert len(error.message) < 1000  # noqa: PT017


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=4), each, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=64)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["prompt", "reference_image", "seed", "steps", "metadata", "x"]), JSON
    ).map(lambda value: json.dumps(value).encode())
)
@example(b"[" * 4 * MIB)
@example(b'{"a":' * 300_000)
@example(b"{" + b'"prompt":1,' * 400_000 + b'"x":1}')
@example(b'{"prompt": "' + b"a" * 4 * MIB + b'"}')
@example(b'{"seed": ' + b"9" * MIB + b"}")
def test_any_body_is_taken_or_refused_within_time_and_memory(raw: bytes) -> None:
    with bounded(seconds=2, megabytes=40):
        try:
            PARSER.submission(raw, id="a", kind="flux-instantid", tenant="acme")
        except RylaError as error:
            assert len(error.message) < 3000  # noqa: PT017
