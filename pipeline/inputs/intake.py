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
from pipeline.contract.keys import clip, input_key
from pipeline.inputs.remote import Fetch, ImageFetcher

fetch_nothing: Fetch = ImageFetcher(frozenset()).fetch
"""Refuses every URL, and says how to change that."""


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


@dataclass
class _Basket:
    folder: Path | None
    fetch: Fetch
    images: dict[str, InputImage] = field(default_factory=dict)

    def put(self, name: str, value: str) -> str:
        try:
            body = read_image(value, self.folder, self.fetch)
            if body is None:
                return value
            extension, plain = images.intake(body)
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
) -> TakenIn:
    """The input with a key for every picture. Paths are relative to `folder`; without one, no file
    of this machine is read.

    Raises InvalidInput.
    """
    basket = _Basket(folder, fetch)
    changed = {
        name: _replaced(given[name], partial(basket.put, f"input.{name}"))
        for name in image_fields(model)
        if name in given
    }
    return TakenIn({**given, **changed}, tuple(basket.images.values()))


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
        return None
    if folder is None:
        raise InvalidInput(
            "files are not read from the server's disk",
            hint="Send the picture as a data URL: data:image/png;base64,...",
        )
    return _file(folder / (value[1:] if value[0] == "@" else unquote(urlsplit(value).path)))


def _data_url(value: str) -> bytes:
    head, comma, data = value.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise InvalidInput("only data:image/…;base64 URLs are read")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"the data URL is not base64: {error}") from None


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
