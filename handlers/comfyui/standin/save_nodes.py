"""Where ComfyUI's save nodes put files: prefixes, subfolders, counters, metadata."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

GARBAGE = b"this is no picture\n"
_WEBP_FRAME_MS = 125


class OutsideOutputError(Exception):
    """A prefix that leaves the output folder."""


@dataclass(frozen=True)
class Place:
    folder: Path
    stem: str
    subfolder: str
    counter: int

    @classmethod
    def for_prefix(cls, prefix: str, root: Path, width: int, height: int) -> "Place":
        """`a/b` is the file name b in the subfolder a; the counter goes on from the files there."""
        path = os.path.normpath(_expanded(prefix, width, height))
        subfolder, stem = os.path.split(path)
        folder = Path(os.path.abspath(root / subfolder))
        if os.path.commonpath((str(root), str(folder))) != str(root):
            raise OutsideOutputError(
                "**** ERROR: Saving image outside the output folder is not allowed.\n"
                f" full_output_folder: {folder}\n         output_dir: {root}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, stem, subfolder, 1 + max(_counters(folder, stem), default=0))

    def row(self, name: str, kind: str) -> dict[str, str]:
        return {"filename": name, "subfolder": self.subfolder, "type": kind}


def save_pngs(
    images: Sequence[Image.Image],
    prefix: str,
    root: Path,
    kind: str,
    metadata: Mapping[str, Any] | None,
    *,
    garbage: bool = False,
) -> dict[str, Any]:
    """Save a batch and return the node's UI output. `metadata` goes into PNG text chunks."""
    place = Place.for_prefix(prefix, root, *images[0].size)
    rows = []
    for n, image in enumerate(images):
        stem = place.stem.replace("%batch_num%", str(n))
        name = f"{stem}_{place.counter + n:05}_.png"
        body = GARBAGE if garbage else png(image, metadata)
        (place.folder / name).write_bytes(body)
        rows.append(place.row(name, kind))
    return {"images": rows}


def save_animation(images: Sequence[Image.Image], prefix: str, root: Path) -> dict[str, Any]:
    """Stands for all video formats: an animated WebP, listed as ComfyUI lists videos."""
    place = Place.for_prefix(prefix, root, *images[0].size)
    name = f"{place.stem}_{place.counter:05}_.webp"
    images[0].save(
        place.folder / name,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=_WEBP_FRAME_MS,
        method=0,
    )
    return {"images": [place.row(name, "output")], "animated": [True]}


def png(image: Image.Image, metadata: Mapping[str, Any] | None = None) -> bytes:
    info = PngInfo()
    for key, value in (metadata or {}).items():
        info.add_text(key, json.dumps(value))
    buffer = BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=1)
    return buffer.getvalue()


def _expanded(prefix: str, width: int, height: int) -> str:
    now = datetime.now().astimezone()
    values = {
        "width": str(width),
        "height": str(height),
        "year": str(now.year),
        "month": f"{now.month:02}",
        "day": f"{now.day:02}",
        "hour": f"{now.hour:02}",
        "minute": f"{now.minute:02}",
        "second": f"{now.second:02}",
    }
    for key, value in values.items():
        prefix = prefix.replace(f"%{key}%", value)
    return prefix


def _counters(folder: Path, stem: str) -> Iterator[int]:
    pattern = re.compile(re.escape(stem) + r"_(\d+)(?:_|\.|$)")
    for name in os.listdir(folder):
        match = pattern.match(name)
        if match:
            yield int(match[1])
