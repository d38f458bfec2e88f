"""/view and /upload/image: files in and out of the server's three folders."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response


class Folders:
    """The server's folders by the `type` that requests name them with."""

    def __init__(self, by_type: Mapping[str, Path]) -> None:
        self._by_type = by_type
        for folder in by_type.values():
            folder.mkdir(parents=True, exist_ok=True)

    def inputs(self) -> list[str]:
        """Names that LoadImage takes."""
        root = self._by_type["input"]
        return sorted(
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()
        )

    async def view(self, request: Request) -> Response:
        asked = request.query_params
        name = asked.get("filename", "")
        root = self._by_type.get(asked.get("type", "output"))
        if not name:
            return Response(status_code=404)
        if name.startswith("/") or ".." in name or root is None:
            return Response(status_code=400)
        folder = _inside(root, asked.get("subfolder", ""))
        if folder is None:
            return Response(status_code=403)
        path = folder / Path(name).name
        if not path.is_file():
            return Response(status_code=404)
        if "preview" in asked:
            return _preview(path, asked["preview"])
        return FileResponse(path, headers={"Content-Disposition": f'filename="{path.name}"'})

    async def upload(self, request: Request) -> Response:
        parts = {part.name: part for part in _multipart(request, await request.body())}
        image = parts.get("image")
        if image is None or not image.filename:
            return Response(status_code=400)
        kind = parts["type"].text if "type" in parts else "input"
        subfolder = parts["subfolder"].text if "subfolder" in parts else ""
        root = self._by_type.get(kind, self._by_type["input"])
        folder = _inside(root, subfolder)
        if folder is None or _inside(folder, image.filename) is None:
            return Response(status_code=400)
        folder.mkdir(parents=True, exist_ok=True)
        overwrite = "overwrite" in parts and parts["overwrite"].text in ("true", "1")
        path = folder / image.filename
        if not overwrite:
            path = _free_name(path, image.body)
        path.write_bytes(image.body)
        return JSONResponse({"name": path.name, "subfolder": subfolder, "type": kind})


def _inside(root: Path, name: str) -> Path | None:
    path = (root / name).resolve()
    return path if path.is_relative_to(root.resolve()) else None


def _free_name(path: Path, body: bytes) -> Path:
    """The same name for the same bytes, else `name (1).ext`, `name (2).ext`, ..."""
    candidate, n = path, 0
    while candidate.exists() and candidate.read_bytes() != body:
        n += 1
        candidate = path.with_name(f"{path.stem} ({n}){path.suffix}")
    return candidate


def _preview(path: Path, asked: str) -> Response:
    form, _, quality = asked.partition(";")
    form = form if form in ("webp", "jpeg") else "webp"
    buffer = BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, form, quality=int(quality) if quality.isdecimal() else 90)
    return Response(buffer.getvalue(), media_type=f"image/{form}")


@dataclass(frozen=True)
class _Part:
    name: str
    filename: str | None
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def _multipart(request: Request, body: bytes) -> Iterator[_Part]:
    """The parts of a form. Enough for well-formed ones; anything else has no parts."""
    boundary = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if boundary is None:
        return
    for chunk in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]:
        head, found, content = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', headers)
        if not found or name is None:
            continue
        filename = re.search(r'filename="([^"]*)"', headers)
        yield _Part(name[1], filename[1] if filename else None, content)
