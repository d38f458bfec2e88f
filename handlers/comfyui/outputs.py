"""The files that a prompt saved, read from ComfyUI's output folder or over /view."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from config.errors import ComfyProtocolError, OutputsMissing
from handlers.comfyui.prompt_tracker import WEBSOCKET_SAVER
from handlers.comfyui.replies import OutputRef
from handlers.comfyui.transport import MAX_FILE_BYTES, Transport
from handlers.kinds.base import OutputFile, Pixels
from workflows.node_pack import SAVE_PIXELS

SAVERS: Final = frozenset(
    {
        "SaveImage",
        "SaveAnimatedPNG",
        "SaveAnimatedWEBP",
        "SaveVideo",
        "SaveWEBM",
        SAVE_PIXELS,
        WEBSOCKET_SAVER,
    }
)
"""Node classes that save at least one file whenever they succeed."""


def read_all(
    refs: Iterable[OutputRef], folder: Path | None, transport: Transport
) -> Sequence[OutputFile]:
    """The files in the order of `refs`, out of `folder` or, where that is None, over /view.

    Raises OutputsMissing for a file that is not there, ComfyProtocolError for a bad path or one of
    more than MAX_FILE_BYTES.
    """
    return [
        _file(ref, _from_folder(ref, folder) if folder is not None else _from_view(ref, transport))
        for ref in refs
    ]


def _file(ref: OutputRef, body: bytes) -> OutputFile:
    told = ref.pixels
    if told is None:
        return OutputFile(ref.node, ref.filename, body)
    if len(body) != 3 * told.width * told.height:
        raise _missing(ref, f"{len(body)} bytes are not {told.width} x {told.height} pixels")
    name = f"{ref.filename.removesuffix('.rgb')}.png"
    pixels = Pixels(told.width, told.height, body, told.sha256, told.sampled)
    return OutputFile(ref.node, name, pixels)


def check_complete(classes: Mapping[str, str], files: Iterable[OutputFile]) -> None:
    """Raises OutputsMissing when a node that saves has saved nothing."""
    saved = {file.node for file in files}
    for node, node_class in classes.items():
        if node_class in SAVERS and node not in saved:
            raise OutputsMissing(
                f"{node_class} (node {node}) saved nothing, though the prompt succeeded", field=node
            )


def _from_folder(ref: OutputRef, folder: Path) -> bytes:
    root = folder.resolve()
    try:
        path = (root / ref.subfolder / ref.filename).resolve()
        if not path.is_relative_to(root):
            raise ComfyProtocolError(
                f"Node {ref.node} names a file outside the output folder",
                field=ref.node,
                value=f"{ref.subfolder}/{ref.filename}",
            )
        with path.open("rb") as file:
            # Asked for as many bytes as it may have, Python would make room for all of them.
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise ComfyProtocolError(f"{ref.filename} has more than {MAX_FILE_BYTES} bytes")
            return file.read(size)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _missing(ref, str(error)) from error


def _from_view(ref: OutputRef, transport: Transport) -> bytes:
    where = {"filename": ref.filename, "subfolder": ref.subfolder, "type": "output"}
    reply = transport.call("GET", "/view", limit=MAX_FILE_BYTES, params=where)
    if reply.status != 200:
        raise _missing(ref, f"/view answered {reply.status}")
    return reply.body


def _missing(ref: OutputRef, why: str) -> OutputsMissing:
    return OutputsMissing(
        f"Node {ref.node} says it saved {ref.filename!r}, but it cannot be read: {why}",
        field=ref.node,
        hint="A cached prompt points at its old file: give each job its own filename_prefix.",
    )
