"""Pictures that a manifest brings along: they go under inputs/, and the manifest names their keys.

Only fields that the kind's input model marks with `picture=True` are looked at, so a prompt that
begins with "@" stays a prompt. A marked field holds one picture, or a list or mapping of them, each
a key, a data URL, an https URL, or a local file as `@path` or `file:path`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from config.errors import InvalidInput
from handlers.kinds.base import image_fields
from handlers.media import images
from handlers.media.formats import format_of
from handlers.media.intake_process import Intake
from pipeline.contract.keys import clip, input_key
from pipeline.inputs.remote import Fetch, ImageFetcher

fetch_nothing: Fetch = ImageFetcher(frozenset()).fetch
"""Refuses every URL, and says how to change that."""


_SPACE = re.compile(r"[ \t\r\n]+")
"""Where base64 was wrapped into lines."""
_UNNAMED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Media types that say nothing: the first bytes say what it is."""
_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WebP": "image/webp",
    "HEIC": "image/heic",
    "AVIF": "image/avif",
}
_HEAD = 512
"""Characters in which the first bytes of a picture stand."""
_LEAST_BASE64 = 64
"""Of them, in any picture."""
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")


@dataclass(frozen=True)
class InputImage:
    key: str
    body: bytes
    """PNG or JPEG, made harmless by `images.intake`."""

    @property
    def content_type(self) -> str:
        return "image/jpeg" if self.key.endswith(".jpg") else "image/png"


@dataclass(frozen=True)
class TakenIn:
    """An input whose pictures are keys, and what lies behind the new ones."""

    input: Mapping[str, Any]
    images: tuple[InputImage, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    """Field and key of each picture that was named by a key."""


@dataclass
class _Basket:
    folder: Path | None
    fetch: Fetch
    intake: Intake
    images: dict[str, InputImage] = field(default_factory=dict)
    keys: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, value: str) -> str:
        try:
            body = read_image(value, self.folder, self.fetch)
            if body is None:
                self.keys.append((name, value))
                return value
            extension, plain = self.intake(body)
        except InvalidInput as error:
            raise InvalidInput(
                f"{name}: {error.message}", field=name, value=clip(value), hint=error.hint
            ) from error
        picture = InputImage(input_key(hashlib.sha256(plain).hexdigest(), extension), plain)
        self.images[picture.key] = picture
        return picture.key


def take_in(
    given: Mapping[str, Any],
    model: type[BaseModel],
    folder: Path | None,
    fetch: Fetch = fetch_nothing,
    intake: Intake = images.intake,
) -> TakenIn:
    """The input with a key for every picture. Paths are relative to `folder`; without one, no file
    of this machine is read.

    Raises InvalidInput, and what `intake` raises.
    """
    basket = _Basket(folder, fetch, intake)
    changed = {
        name: _replaced(given[name], partial(basket.put, f"input.{name}"))
        for name in image_fields(model)
        if name in given
    }
    return TakenIn({**given, **changed}, tuple(basket.images.values()), tuple(basket.keys))


def _replaced(value: Any, put: Callable[[str], str]) -> Any:
    """What is no text stays: the manifest's own validation speaks about it."""
    if isinstance(value, str):
        return put(value)
    if isinstance(value, list):
        return [put(item) if isinstance(item, str) else item for item in value]
    if isinstance(value, dict):
        return {key: put(item) if isinstance(item, str) else item for key, item in value.items()}
    return value


def read_image(value: str, folder: Path | None, fetch: Fetch) -> bytes | None:
    """The bytes of a URL or local file, undecoded; None for anything else, such as a key. Raises
    InvalidInput."""
    if value.startswith("data:"):
        return _data_url(value)
    if re.match("https?:", value, re.IGNORECASE):
        return fetch(value)
    if not value.startswith(("@", "file:")):
        _require_no_bare_base64(value)
        return None
    if folder is None:
        raise InvalidInput(
            "files are not read from the server's disk",
            hint="Send the picture as a data URL: data:image/png;base64,...",
        )
    return _file(folder / (value[1:] if value[0] == "@" else unquote(urlsplit(value).path)))


def _require_no_bare_base64(value: str) -> None:
    """Raises InvalidInput for the base64 of a picture without what makes it a data URL."""
    head = "".join(value[:_HEAD].split()).rstrip("=")
    if len(head) < _LEAST_BASE64 or not _BASE64.fullmatch(head):
        return
    named = format_of(base64.b64decode(head[: len(head) // 4 * 4]))
    if named is not None:
        raise InvalidInput(
            f"it is the base64 of a {named.name}, and no data URL",
            hint=f"Write data:{_MEDIA_TYPES.get(named.name, 'application/octet-stream')};base64,"
            " before it.",
        )


def _data_url(value: str) -> bytes:
    head, comma, data = value.partition(",")
    media_type, *parameters = head[len("data:") :].lower().split(";")
    if not comma or not (media_type.startswith("image/") or media_type in _UNNAMED):
        raise InvalidInput(
            f"only data:image/…;base64 URLs are read, not data:{clip(media_type, 40)}",
            hint="Send a picture, as data:image/png;base64,... or data:image/jpeg;base64,...",
        )
    if "base64" not in parameters:
        raise InvalidInput(
            "only data:image/…;base64 URLs are read, and this one is not said to be base64",
            hint="Write data:image/png;base64, and the picture as base64.",
        )
    try:
        plain = _SPACE.sub("", unquote(data) if "%" in data else data)
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            "the data URL is not base64: it has other characters, or its end is missing",
            hint="base64 has A-Z, a-z, 0-9, + and /, with = at the end.",
        ) from None


def _file(path: Path) -> bytes:
    try:
        if path.stat().st_size > images.MAX_INTAKE_BYTES:
            raise InvalidInput(
                f"{path} has more than {images.MAX_INTAKE_BYTES} bytes",
                hint="Send a smaller picture.",
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Paths are relative to the manifest's folder.",
        ) from None
