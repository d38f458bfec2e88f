"""Writes HTML from templates, with pictures inside."""

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.pages.formats import percent, seconds, usd

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


def thumbnail(picture: bytes, longest: int) -> str:
    """A data URI of a small JPEG whose longest side has at most so many pixels."""
    from PIL import Image  # noqa: PLC0415  as above

    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
        small.thumbnail((longest, longest))
        body = io.BytesIO()
        small.save(body, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(body.getvalue()).decode()}"
