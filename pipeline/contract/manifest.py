"""The request manifest: one pydantic model per job kind, read strictly.

The same models are the JSON Schema (`ryla schema`) and, later, the HTTP bodies.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    create_model,
)

from config.errors import (
    BadManifest,
    InvalidField,
    KeyMismatch,
    MissingField,
    UnknownField,
    UnsupportedVersion,
)
from config.nearest import nearest
from events.identity import check_distinct_id
from handlers.kinds.base import ONE_IS_REQUIRED, TAG, JobInput
from handlers.kinds.registry import KINDS, lookup
from handlers.policy.disguises import folded
from pipeline.contract.document import canonical, read_document, without_nulls
from pipeline.contract.keys import (
    BATCH_PATTERN,
    DEFAULT_PRIORITY,
    NAME_PATTERN,
    InboxName,
    clip,
)
from pipeline.public_https import BadUrl, destination_of

_NUMBER = re.compile(r"\s*[+-]?[\d.]+\s*")
MAX_METADATA_BYTES = 16 * 1024
"""As JSON."""
MAX_PROBLEMS = 20
"""Of one manifest that are told; each costs a search for the name that was meant."""


def _says_something(record: str) -> str:
    if not any(character.isalnum() for character in folded(record)):
        raise ValueError("it says nothing: write where the agreement, or the making, is on file")
    return record


class Consent(BaseModel):
    """The producer's statement on the person shown; kept with the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    subject: Literal["synthetic", "consented"]
    record: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_says_something)]
    """Where the statement is written down."""


class Manifest(BaseModel):
    """What every kind's manifest has. `kind_manifests` narrow `model` and `input`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    model: str
    input: SerializeAsAny[JobInput]
    tenant: Annotated[str, Field(pattern=NAME_PATTERN)] = "default"
    distinct_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The person or thing that events are about; the tenant stands in for none."""
    priority: Annotated[int, Field(ge=0, le=9)] = DEFAULT_PRIORITY
    """Higher first."""
    deadline: AwareDatetime | None = None
    """By the store's clock; a job not started by then fails with deadline_exceeded."""
    max_cost_usd: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Refused when the lower estimate is above it, before any GPU starts."""
    consent: Consent | None = None
    batch: Annotated[str, Field(pattern=BATCH_PATTERN)] | None = None
    """The batch that it is sent in, as `ryla sheets submit` writes it; budgets go by it."""
    metadata: dict[str, Any] = {}
    """Yours; at most 16 KiB; repeated in the result."""
    callback_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """https, of a host that the operator allows; gets one signed POST when the job has ended."""


def _kind_manifest(name: str) -> type[Manifest]:
    model: Any = Literal[name]
    return create_model(
        f"{name.title().replace('-', '')}Manifest",
        __base__=Manifest,
        model=(model, ...),
        input=(KINDS[name].input_model, ...),
    )


@cache
def kind_manifests() -> Mapping[str, type[Manifest]]:
    """The manifest model of each kind that is built."""
    return {name: _kind_manifest(name) for name in KINDS}


def manifest_schema() -> dict[str, Any]:
    """JSON Schema of all manifests, told apart by `model`."""
    union: Any = Annotated[
        Union[tuple(kind_manifests().values())],  # noqa: UP007  built from a runtime tuple
        Field(discriminator="model"),
    ]
    return TypeAdapter(union).json_schema()


def parse_manifest(body: bytes) -> Manifest:
    """The manifest in `body`. Raises a BadManifest whose `others` holds any further ones, up to
    MAX_PROBLEMS in all."""
    document = read_document(body)
    if document.get("version") != 1 or document.get("version") is True:
        raise UnsupportedVersion(
            f"version is {clip(repr(document.get('version')))}, known is 1",
            field="version",
            value=document.get("version"),
        )
    model = document.get("model")
    if not isinstance(model, str):
        raise InvalidField("model must be the name of a job kind", field="model", value=model)
    kind = lookup(model)
    problems = [*_number_for_a_date(document)]
    try:
        given = canonical(_given(document, kind.input_model))
        manifest = kind_manifests()[kind.name].model_validate_json(given)
    except ValidationError as error:
        problems += [_problem(item, kind.input_model) for item in _most_telling(error)]
    else:
        problems += _beyond_types(manifest)
    if problems:
        raise _first_of(problems)
    return manifest


def _number_for_a_date(document: Mapping[str, Any]) -> Iterator[BadManifest]:
    """Pydantic takes digits for seconds or milliseconds since 1970, which end far from now."""
    deadline = document.get("deadline")
    if isinstance(deadline, str) and _NUMBER.fullmatch(deadline):
        yield InvalidField(
            f"deadline: {clip(deadline)!r} is a number, no date and time",
            field="deadline",
            value=clip(deadline),
            hint="Write it with its time zone, as 2026-11-29T18:00:00Z.",
        )


def _given(document: dict[str, Any], input_model: type[JobInput]) -> dict[str, Any]:
    given = without_nulls(document, Manifest)
    if isinstance(given.get("input"), dict):
        given["input"] = without_nulls(given["input"], input_model)
    return given


def check_key(name: InboxName, manifest: Manifest) -> None:
    """Raises KeyMismatch if the key names another priority, tenant or model than the manifest."""
    if name.tenant is None:
        return
    for field in ("priority", "tenant", "model"):
        said, meant = getattr(name, field), getattr(manifest, field)
        if said != meant:
            raise KeyMismatch(
                f"the key says {field} {said!r}, the manifest {meant!r}", field=field, value=said
            )


def _most_telling(error: ValidationError) -> Sequence[Any]:
    # A misspelt field is also a missing one; its name says more.
    found = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    return found[:MAX_PROBLEMS]


def _problem(item: Any, input_model: type[JobInput]) -> BadManifest:
    parts = [str(part) for part in item["loc"] if not str(part).startswith(TAG)]
    path = ".".join(parts)
    if item["type"] == "extra_forbidden":
        *parents, last = parts
        known = _model_at(parents, input_model).model_fields
        takers = _takers(last) if parents == ["input"] else []
        guess = nearest(last, known)
        hint = f"Did you mean {guess!r}?" if guess else f"Known: {', '.join(known)}."
        if takers:
            hint = f"{', '.join(takers)} take{'s' if len(takers) == 1 else ''} it."
        return UnknownField(
            f"unknown field {clip(path)!r}", field=clip(path), value=item["input"], hint=hint
        )
    if item["type"] == "missing":
        return MissingField(f"{clip(path)} is required", field=clip(path))
    said = f"{clip(path)}: {item['msg'].removeprefix('Value error, ')}"
    if item["type"] == ONE_IS_REQUIRED:
        return MissingField(said, field=clip(path))
    return InvalidField(
        said, field=clip(path), value=item["input"], hint=_range(parts, input_model)
    )


def _takers(field: str) -> list[str]:
    """The kinds that have a field of this name."""
    return [kind.name for kind in KINDS.values() if field in kind.input_model.model_fields]


def _range(path: Sequence[str], input_model: type[JobInput]) -> str | None:
    """What a number may be, in words."""
    *parents, last = path or [""]
    field = _model_at(parents, input_model).model_fields.get(last)
    bounds = {
        name: getattr(each, name)
        for each in (field.metadata if field else ())
        for name in ("ge", "le", "multiple_of")
        if hasattr(each, name)
    }
    if not {"ge", "le"} <= bounds.keys():
        return None
    steps = f", in steps of {bounds['multiple_of']}" if "multiple_of" in bounds else ""
    return f"{last} may be {bounds['ge']} to {bounds['le']}{steps}."


def _model_at(path: Sequence[str], input_model: type[JobInput]) -> type[BaseModel]:
    """The model of the object that a path leads to, through lists and unions."""
    if not path:
        return Manifest
    found: type[BaseModel] = Consent if path[0] == "consent" else input_model
    for part in path[1:]:
        if part in found.model_fields:
            found = next(_models_in(found.model_fields[part].annotation), found)
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _beyond_types(manifest: Manifest) -> Iterator[BadManifest]:
    """What a field's type and range cannot say."""
    unavailable = lookup(manifest.model).unavailable(manifest.input)
    if unavailable is not None:
        yield unavailable
    if manifest.distinct_id is not None:
        try:
            check_distinct_id(manifest.distinct_id)
        except InvalidField as error:
            yield error
    if manifest.callback_url is not None:
        try:
            destination_of(manifest.callback_url)
        except BadUrl as error:
            yield InvalidField(
                f"callback_url: {error}",
                field="callback_url",
                value=manifest.callback_url,
                hint=error.hint,
            )
    size = len(json.dumps(manifest.metadata))
    if size > MAX_METADATA_BYTES:
        yield InvalidField(
            f"metadata has {size} bytes, at most {MAX_METADATA_BYTES} are kept",
            field="metadata",
            hint="Keep a key of yours in it, and the rest with you.",
        )


def _first_of(problems: Sequence[BadManifest]) -> BadManifest:
    first, *others = problems
    first.others = tuple(others)
    return first


def deadline_passed(manifest: Manifest, now: datetime) -> bool:
    """`now` is the store's clock. False without a deadline."""
    return manifest.deadline is not None and now >= manifest.deadline
