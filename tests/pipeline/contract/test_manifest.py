import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import (
    BadManifest,
    DeadlineExceeded,
    InvalidField,
    KeyMismatch,
    ManifestNotJson,
    ManifestTooLarge,
    MissingField,
    NotAvailable,
    UnknownField,
    UnsupportedVersion,
)
from handlers.kinds.registry import KINDS, NOT_YET
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import MAX_BYTES, parse_inbox_key
from pipeline.contract.manifest import (
    MAX_PROBLEMS,
    check_key,
    deadline_passed,
    manifest_schema,
    parse_manifest,
)
from tests.support.manifests import manifest

LIMIT = 256 * 1024


def body(**changes: Any) -> bytes:
    return json.dumps(manifest(**changes)).encode()


def with_input(**changes: Any) -> bytes:
    return body(input={"prompt": "a cat", **changes})


def refusal(body: bytes) -> BadManifest:
    with pytest.raises(BadManifest) as caught:
        parse_manifest(body)
    return caught.value


def nested(depth: int) -> bytes:
    return body(metadata={"a": "HERE"}).replace(b'"HERE"', b"[" * depth + b"]" * depth)


def test_the_least_manifest_gets_the_defaults() -> None:
    parsed = parse_manifest(b'{"version": 1, "model": "flux-dev", "input": {"prompt": "a cat"}}')
    assert (parsed.tenant, parsed.priority, parsed.deadline, parsed.metadata) == (
        "default",
        5,
        None,
        {},
    )
    assert parsed.input.model_dump()["width"] == 1024


def test_the_manifest_of_the_contract_is_taken_whole() -> None:
    parsed = parse_manifest(
        body(
            input={
                "prompt": "a cat",
                "width": 1024,
                "height": 1024,
                "steps": 20,
                "guidance": 3.5,
                "seed": None,
                "num_images": 1,
                "output_format": "png",
            },
            tenant="acme",
            distinct_id="user_123",
            priority=9,
            deadline="2026-03-01T12:00:00+01:00",
            max_cost_usd=0.5,
            consent={"subject": "consented", "record": "form 12"},
            metadata={"order": 7},
            callback_url=None,
        )
    )
    assert parsed.deadline == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert parsed.consent is not None
    assert parsed.metadata == {"order": 7}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(b'{"version": 1,', id="cut off"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="utf-16"),
        pytest.param(b"\xef\xbb\xbf", id="a byte order mark alone"),
        pytest.param(b'{"prompt": "\xe9"}', id="latin-1"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="a picture"),
        pytest.param(b'{"a": "\x00"}', id="a raw null byte"),
        pytest.param(b'{"version": 1} {}', id="two documents"),
        pytest.param(with_input(guidance=float("nan")), id="NaN"),
        pytest.param(with_input(guidance=float("-inf")), id="-Infinity"),
        pytest.param(body(metadata={"a": 1}).replace(b"1}", b"1e999}"), id="1e999"),
        pytest.param(with_input(prompt="\ud83d"), id="half a character"),
        pytest.param(body(model="\udfff"), id="half a character for a model"),
        pytest.param(b'{"\\ud800": 1, "\\ud800": 2}', id="half a character for a name, twice"),
        pytest.param(with_input(seed=1).replace(b" 1}", b" %s}" % (b"9" * 5000)), id="5000 digits"),
        pytest.param(nested(250), id="nested too deep"),
        pytest.param(nested(100_000), id="nested far too deep"),
    ],
)
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    error = refusal(text)
    assert type(error) is ManifestNotJson
    assert (error.code, error.http_status) == ("manifest_not_json", 400)
    assert error.hint


def test_256_kib_are_read_and_no_byte_more() -> None:
    bare = body()
    assert parse_manifest(bare + b" " * (LIMIT - len(bare))).model == "flux-dev"
    error = refusal(bare + b" " * (LIMIT - len(bare) + 1))
    assert type(error) is ManifestTooLarge
    assert str(LIMIT + 1) in error.message
    assert MAX_BYTES == LIMIT


@pytest.mark.parametrize("version", [2, 0, "1", None, True, [1], {}])
def test_an_unknown_version_is_refused(version: Any) -> None:
    error = refusal(body(version=version, unheard_of="later"))
    assert type(error) is UnsupportedVersion
    assert (error.field, error.value) == ("version", version)


def test_a_missing_version_is_refused() -> None:
    assert type(refusal(b"{}")) is UnsupportedVersion


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        (body(priorty=3), "priorty", "Did you mean 'priority'?"),
        (body(maxCostUsd=3), "maxCostUsd", "Did you mean 'max_cost_usd'?"),
        (with_input(stpes=3), "input.stpes", "Did you mean 'steps'?"),
        (with_input(negativ_prompt=""), "input.negativ_prompt", "Did you mean 'negative_prompt'?"),
        (
            body(consent={"subject": "consented", "record": "r", "recrod": "x"}),
            "consent.recrod",
            "Did you mean 'record'?",
        ),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_known_one(
    text: bytes, field: str, hint: str
) -> None:
    error = refusal(text)
    assert type(error) is UnknownField
    assert (error.field, error.hint) == (field, hint)


def test_a_field_like_no_other_gets_the_list_of_those_known_there() -> None:
    hints = [refusal(text).hint or "" for text in (body(zzz=1), with_input(zzz=1))]
    assert "Known: version, model, input" in hints[0]
    assert "Known: prompt, negative_prompt, width" in hints[1]


def test_a_field_of_other_kinds_is_refused_with_their_names() -> None:
    hints = {
        model: refusal(body(model=model, input={"prompt": "a", "step_cache": 0.1})).hint
        for model in ("flux-schnell", "z-image-turbo")
    }
    assert set(hints.values()) == {"flux-dev, flux-lora take it."}


def test_guidance_is_a_field_of_flux_dev_alone() -> None:
    assert type(refusal(body(model="flux-schnell", input={"prompt": "a", "guidance": 3}))) is (
        UnknownField
    )


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        pytest.param(with_input(width=100), "input.width", 100, id="not a multiple of 16"),
        pytest.param(with_input(width=4096), "input.width", 4096, id="too wide"),
        pytest.param(
            with_input(width=2048, height=2048), "input.height", 2048, id="too many pixels"
        ),
        pytest.param(with_input(steps=0), "input.steps", 0, id="no steps"),
        pytest.param(with_input(num_images=9), "input.num_images", 9, id="too many pictures"),
        pytest.param(with_input(seed=-1), "input.seed", -1, id="negative seed"),
        pytest.param(with_input(seed=10**400), "input.seed", 10**400, id="huge integer"),
        pytest.param(with_input(guidance=11), "input.guidance", 11, id="too much guidance"),
        pytest.param(with_input(output_format="gif"), "input.output_format", "gif", id="no format"),
        pytest.param(with_input(prompt=""), "input.prompt", "", id="no prompt"),
        pytest.param(with_input(prompt=" \n "), "input.prompt", " \n ", id="a blank prompt"),
        pytest.param(body(input=[]), "input", [], id="input is a list"),
        pytest.param(body(priority=10), "priority", 10, id="no such priority"),
        pytest.param(body(max_cost_usd=0), "max_cost_usd", 0, id="no budget"),
        pytest.param(body(max_cost_usd=1001), "max_cost_usd", 1001, id="too much money"),
        pytest.param(body(tenant="Acme"), "tenant", "Acme", id="upper-case tenant"),
        pytest.param(body(tenant="a.b"), "tenant", "a.b", id="tenant that no key can hold"),
        pytest.param(body(tenant="a\n"), "tenant", "a\n", id="tenant with a line break"),
        pytest.param(body(deadline="tomorrow"), "deadline", "tomorrow", id="no date"),
        pytest.param(
            body(deadline="9999999999999"), "deadline", "9999999999999", id="milliseconds"
        ),
        pytest.param(body(deadline=" 1.5"), "deadline", " 1.5", id="seconds"),
        pytest.param(
            body(deadline="2026-03-01T12:00:00"), "deadline", "2026-03-01T12:00:00", id="no zone"
        ),
        pytest.param(body(distinct_id="null"), "distinct_id", "null", id="id that PostHog refuses"),
        pytest.param(body(distinct_id="a\0b"), "distinct_id", "a\0b", id="null byte in an id"),
        pytest.param(body(metadata={"a": "x" * 17_000}), "metadata", None, id="too much metadata"),
        pytest.param(body(model=["flux-dev"]), "model", ["flux-dev"], id="model is a list"),
        pytest.param(body(model="flux-dve"), "model", "flux-dve", id="unknown model"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(text: bytes, field: str, value: Any) -> None:
    error = refusal(text)
    assert type(error) is InvalidField
    assert (error.field, error.value) == (field, value)


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        (body(input={}), "input.prompt", "input.prompt is required"),
        (body(model="flux-lora"), "input", "input: lora_id or lora_name is required"),
    ],
)
def test_what_is_needed_and_not_there_is_refused(text: bytes, field: str, said: str) -> None:
    error = refusal(text)
    assert type(error) is MissingField
    assert (error.field, error.value, error.message) == (field, None, said)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (with_input(steps="20"), "input.steps"),
        (with_input(steps=20.0), "input.steps"),
        (with_input(width=True), "input.width"),
        (with_input(prompt=5), "input.prompt"),
        (with_input(nsfw="no"), "input.nsfw"),
        (body(priority="5"), "priority"),
        (body(priority=True), "priority"),
        (body(max_cost_usd="0.5"), "max_cost_usd"),
        (body(deadline=1_772_000_000), "deadline"),
        (body(consent={"subject": "synthetic", "record": "  "}), "consent.record"),
        (body(consent={"subject": "synthetic", "record": "\u200b\u3164?"}), "consent.record"),
        (body(metadata=[]), "metadata"),
        (body(consent={"subject": "consented", "record": 5}), "consent.record"),
    ],
)
def test_no_type_is_turned_into_another(text: bytes, field: str) -> None:
    error = refusal(text)
    assert type(error) is InvalidField
    assert error.field == field


def test_a_misspelt_model_is_told_the_nearest() -> None:
    assert refusal(body(model="flux-dve")).hint == "Did you mean flux-dev?"


def test_a_field_given_twice_is_refused_wherever_it_stands() -> None:
    top = body().replace(b'"version": 1', b'"version": 1, "version": 1')
    within = body(metadata={"a": 1}).replace(b'"a": 1', b'"a": 1, "a": 2')
    assert [(type(refusal(text)), refusal(text).field) for text in (top, within)] == [
        (InvalidField, "version"),
        (InvalidField, "a"),
    ]


def test_of_very_many_fields_the_one_given_twice_is_named() -> None:
    names = ",".join(f'"{n}":0' for n in range(25_000))
    assert refusal(f'{{{names},"24999":0}}'.encode()).field == "24999"


def test_of_very_many_mistakes_some_are_told() -> None:
    error = refusal(body(consent={f"name-{n}": n for n in range(10_000)}))
    assert isinstance(error, UnknownField)
    assert len(error.others) == MAX_PROBLEMS - 1


@pytest.mark.parametrize(
    ("views", "field", "hint"),
    [
        ([{"id": "a"}, {"id": "b", "framng": "half"}], "input.views.1.framng", "'framing'"),
        ([{"id": "a", "head": {"jaw": 10}}], "input.views.0.head.jaw", "'yaw'"),
        ([{"id": "a", "head": {"yaw": 100}}], "input.views.0.head.yaw", ""),
        ("tne", "input.views", ""),
        ([{"id": "a", "back": True, "head": {"yaw": 1}}], "input.views.0", ""),
    ],
)
def test_a_mistake_deep_in_a_sheet_is_told_with_its_place(
    views: Any, field: str, hint: str
) -> None:
    given = {"name": "Ann", "lora_id": "ann", "views": views}
    document = {"version": 1, "model": "character-sheet", "input": given}
    error = refusal(json.dumps(document).encode())
    assert (error.field, error.others) == (field, ())
    assert hint in (error.hint or "")


def test_all_problems_of_a_manifest_are_told_at_once() -> None:
    error = refusal(body(prioritee=1, max_cost_usd=-1, input={"prompt": "a", "steps": 0}))
    problems = [error, *error.others]
    assert {problem.field for problem in problems} == {"prioritee", "max_cost_usd", "input.steps"}


@pytest.mark.parametrize("model", sorted(NOT_YET))
def test_a_kind_that_is_not_built_yet_is_not_available(model: str) -> None:
    error = refusal(body(model=model))
    assert type(error) is NotAvailable
    assert (error.code, error.http_status, error.field) == ("not_available", 501, "model")


def test_a_value_that_no_model_can_do_is_not_available() -> None:
    error = refusal(body(model="flux-schnell", input={"prompt": "x", "nsfw": True}))
    assert type(error) is NotAvailable
    assert error.field == "input.nsfw"
    assert error.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "backend.example.com/told",
        "http://backend.example.com/told",
        "https://backend.example.com:8443/told",
        "https://user:word@backend.example.com/told",
        "https://[backend.example.com/told",
        "https://backend.example.com/a b",
        "https://backend.example.com/" + "a" * 3000,
        7,
    ],
)
def test_a_callback_url_is_plain_https(url: object) -> None:
    error = refusal(body(callback_url=url))
    assert (error.code, error.field) == ("invalid_field", "callback_url")
    assert parse_manifest(body(callback_url="https://backend.example.com/told?job=1"))


def test_a_null_byte_that_is_escaped_is_text_like_any_other() -> None:
    assert parse_manifest(with_input(prompt="a\0cat")).input.model_dump()["prompt"] == "a\0cat"


# The key beside the body


@pytest.mark.parametrize(
    "key",
    ["inbox/job-1.json", "inbox/4.acme.flux-dev.job-1.json"],
)
def test_a_key_that_says_what_the_body_says_agrees(key: str) -> None:
    check_key(parse_inbox_key(key), parse_manifest(body(tenant="acme")))


def test_a_bare_key_says_nothing_of_the_priority() -> None:
    check_key(parse_inbox_key("inbox/job-1.json"), parse_manifest(body(priority=9)))


@pytest.mark.parametrize(
    ("key", "field", "said"),
    [
        ("inbox/0.acme.flux-dev.job-1.json", "priority", 9),
        ("inbox/4.other.flux-dev.job-1.json", "tenant", "other"),
        ("inbox/4.acme.flux-schnell.job-1.json", "model", "flux-schnell"),
    ],
)
def test_a_key_that_says_otherwise_is_refused(key: str, field: str, said: Any) -> None:
    with pytest.raises(KeyMismatch) as caught:
        check_key(parse_inbox_key(key), parse_manifest(body(tenant="acme")))
    assert (caught.value.field, caught.value.value) == (field, said)


def test_a_deadline_is_over_from_its_very_second_on() -> None:
    parsed = parse_manifest(body(deadline="2026-03-01T12:00:00Z"))
    assert parsed.deadline is not None
    assert deadline_passed(parsed, parsed.deadline)
    assert not deadline_passed(parsed, parsed.deadline - timedelta(seconds=1))
    assert not deadline_passed(parse_manifest(body()), parsed.deadline)
    assert DeadlineExceeded.code == "deadline_exceeded"


# The schema


def test_the_schema_is_one_and_knows_each_kind() -> None:
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["discriminator"]["mapping"]) == set(KINDS)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (body(), True),
        (body(model="flux-schnell"), True),
        (body(unheard_of=1), False),
        (with_input(steps=0), False),
        (with_input(steps="20"), False),
        (with_input(width=100), False),
        (body(version=2), False),
        (body(model="wan-t2v"), False),
        (body(tenant="A"), False),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(text: bytes, valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(manifest_schema())
    assert validator.is_valid(json.loads(text)) is valid
    if valid:
        parse_manifest(text)
    else:
        refusal(text)


# Anything at all

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["flux-dev", "flux-schnell", "png", "null", "\ud800", "a\0"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
INPUT_FIELDS = [*KINDS["flux-dev"].input_model.model_fields, "unheard_of"]
FIELDS = [
    "tenant",
    "distinct_id",
    "priority",
    "deadline",
    "max_cost_usd",
    "consent",
    "metadata",
    "callback_url",
    "unheard_of",
]


@st.composite
def nearly_manifests(draw: st.DrawFn) -> bytes:
    """Manifests with a few fields of any value, in which most can be right."""
    document = manifest(model=draw(st.sampled_from([*KINDS, "wan-t2v", "x"])))
    document["input"] |= draw(st.dictionaries(st.sampled_from(INPUT_FIELDS), JSON, max_size=2))
    document |= draw(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2))
    if draw(st.integers(0, 9)) == 0:
        document |= draw(st.dictionaries(st.sampled_from(["version", "model", "input"]), JSON))
    return json.dumps(document).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    text = draw(nearly_manifests())
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]


@given(st.binary() | nearly_manifests() | damaged())
def test_whatever_the_bytes_they_are_a_manifest_or_a_refusal_that_can_be_written(
    text: bytes,
) -> None:
    try:
        parsed = parse_manifest(text)
    except BadManifest as error:
        for problem in (error, *error.others):
            error_info(problem).model_dump_json().encode()
        return
    again = parse_manifest(parsed.model_dump_json().encode())
    assert again == parsed


@pytest.mark.parametrize("name", ["priority", "tenant", "metadata", "deadline", "consent"])
def test_null_for_a_field_that_may_be_left_out_is_as_if_it_were(name: str) -> None:
    assert parse_manifest(body(**{name: None})) == parse_manifest(body())


@pytest.mark.parametrize("name", ["width", "steps", "num_images", "output_format", "seed", "nsfw"])
def test_null_for_an_optional_field_of_the_input_is_as_if_it_were_left_out(name: str) -> None:
    assert parse_manifest(with_input(**{name: None})) == parse_manifest(with_input())


def test_null_for_a_required_or_an_unknown_field_is_refused() -> None:
    assert refusal(with_input(prompt=None)).field == "input.prompt"
    assert isinstance(refusal(with_input(pormpt=None)), UnknownField)
    assert refusal(body(model=None)).field == "model"
