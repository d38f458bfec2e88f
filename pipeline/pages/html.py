"""Writes HTML from templates, with pictures inside."""

import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from pipeline.pages.figure_text import percent, seconds, usd

Filters = Mapping[str, Callable[..., Any]]


def render(package: str, template: str, filters: Filters | None = None, **values: Any) -> str:
    """`template` lies in the folder of `package`, and may extend page.html.j2 of this one.

    Every value is escaped; a name that was not given is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  whoever writes no page does not wait for it

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each, "") for each in (package, __package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "seconds": seconds, "usd": usd, **(filters or {})}
    return environment.get_template(template).render(values)


def json_block(document: Any) -> Markup:
    """A document as what stands between `<script type="application/json">` and its end.

    Nothing in it can end the block or begin a comment: JSON writes those characters otherwise too.
    Raises ValueError for what is no JSON, such as a number that is not finite.
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # in ASCII
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def policy(style: str, script: str) -> str:
    """A Content-Security-Policy for a file: its own style and script, pictures that are inside it,
    and nothing else. Both texts are as they stand between their tags."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def thumbnail(picture: bytes, longest: int) -> str:
    """A data URI of a small JPEG whose longest side has at most so many pixels."""
    from PIL import Image  # noqa: PLC0415  as above

    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
        small.thumbnail((longest, longest))
        body = io.BytesIO()
        small.save(body, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(body.getvalue()).decode()}"
