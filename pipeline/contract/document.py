"""A manifest's bytes as a JSON object, before any field of it is looked at."""

import json
import math
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import from_json

from config.errors import InvalidField, ManifestNotJson, ManifestTooLarge
from pipeline.contract.keys import MAX_BYTES, clip

_PARTS = (b",", b'"', b"[", b"{")
"""Of these every part of a JSON text needs one, but the first."""
# First bytes of what is no UTF-8, and what it is.
_OTHER_FORMS = (
    (b"\x1f\x8b", "compressed with gzip", "Unpack it first; nothing here is unpacked."),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it first; nothing here is unpacked."),
    (b"\xff\xfe\0\0", "UTF-32", "Save it as UTF-8."),
    (b"{\0\0\0", "UTF-32", "Save it as UTF-8."),
    (b"\xff\xfe", "UTF-16", "Save it as UTF-8."),
    (b"\xfe\xff", "UTF-16", "Save it as UTF-8."),
    (b"{\0", "UTF-16", "Save it as UTF-8."),
    (b"\0{", "UTF-16", "Save it as UTF-8."),
    (b"\0\0", "UTF-32", "Save it as UTF-8."),
    (b"PK\x03\x04", "a zip archive", "Unpack it first; nothing here is unpacked."),
)
_JSON_WORDS = {str: "a text", list: "a list", bool: "true or false", type(None): "null"}


def other_form(body: bytes) -> ManifestNotJson | None:
    """Why the bytes cannot be read as text, if their beginning tells."""
    for start, form, hint in _OTHER_FORMS:
        if body.startswith(start):
            return ManifestNotJson(f"the manifest is {form}, not JSON in UTF-8", hint=hint)
    return None


def read_document(body: bytes, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The JSON object in `body`, each member given once. A byte order mark of UTF-8 is passed over.

    Raises ManifestTooLarge, ManifestNotJson, or InvalidField for a member that is given twice.
    """
    if len(body) > max_bytes:
        raise ManifestTooLarge(f"the manifest has {len(body)} bytes, at most {max_bytes} are read")
    _require_few_parts(body)
    other = other_form(body)
    if other is not None:
        raise other
    if not body or body.isspace():
        raise ManifestNotJson("the manifest is empty")
    body = body.removeprefix(BOM_UTF8)
    try:
        from_json(body)  # refuses half characters, and nesting that no later reader would take
        document = json.loads(
            body.decode(),
            parse_constant=_no_number,
            parse_float=_finite,
            object_pairs_hook=_no_twins,
        )
    except InvalidField:
        raise
    except (ValueError, RecursionError) as error:
        raise ManifestNotJson(f"the manifest is not JSON: {clip(str(error))}") from None
    if not isinstance(document, dict):
        form = _JSON_WORDS.get(type(document), "a number")
        raise ManifestNotJson(f"the manifest is {form}, not a JSON object")
    return document


def _require_few_parts(body: bytes) -> None:
    """Raises ManifestTooLarge for what has more members and items than a manifest has bytes: each
    would become an object of its own. A picture is one text, however long it is."""
    if len(body) > MAX_BYTES and sum(map(body.count, _PARTS)) > MAX_BYTES:
        raise ManifestTooLarge("the manifest has too many members, whatever its pictures are")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{clip(text)} is too large a number")
    return value


def _no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twin = next(name for name, count in times.items() if count > 1)
        raise InvalidField("a field is given twice", field=clip(twin), hint="Give each field once.")
    return document


def canonical(document: Mapping[str, Any]) -> bytes:
    """The same fields and values give the same bytes, however they were written down."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def without_nulls(document: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Without the fields that are null and may be left out: earlier clients send all they know.

    A null that is a value of its field stays.
    """
    return {
        name: value
        for name, value in document.items()
        if value is not None or not _may_be_absent(model, name)
    }


def _may_be_absent(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    if field is None or field.is_required():
        return False
    return type(None) not in get_args(field.annotation)
