"""The child of intake_process.py: takes pictures in, one after the other, until its input ends. Its
argument names what becomes of them.

Both ways a message is its length in four bytes, then its bytes. An answer begins with one byte:
"+" before the extension, a line break and the picture, "-" before what InvalidInput says, as JSON.
"""

import json
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pillow_heif

from config.errors import InvalidInput
from handlers.media.submitted import intake
from handlers.media.thumbnails import thumbnail

MEMORY_BYTES = 512 * 2**20
"""Of address space, beyond what the child begins with."""
CPU_S = 10
"""For one picture."""
TASKS: Mapping[str, Callable[[bytes], tuple[str, bytes]]] = MappingProxyType(
    {"intake": intake, "thumbnail": thumbnail}
)


class Stream(Protocol):
    """Of bytes, buffered."""

    def read(self, size: int, /) -> bytes: ...
    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> None: ...


def read_message(stream: Stream) -> bytes | None:
    """None at the end of the stream, wherever that is."""
    head = stream.read(4)
    size = int.from_bytes(head, "big")
    body = stream.read(size) if len(head) == 4 else b""
    return body if len(head) == 4 and len(body) == size else None


def write_message(stream: Stream, *parts: bytes) -> None:
    stream.write(sum(map(len, parts)).to_bytes(4, "big"))
    for part in parts:
        stream.write(part)
    stream.flush()


def main(task: str) -> None:
    pillow_heif.options.DECODE_THREADS = 1  # each of them would take memory of its own
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while (body := read_message(sys.stdin.buffer)) is not None:
        _allow_cpu(CPU_S)
        try:
            extension, picture = TASKS[task](body)
        except InvalidInput as error:
            said = json.dumps({"message": error.message, "hint": error.hint})
            write_message(sys.stdout.buffer, b"-", said.encode())
        else:
            write_message(sys.stdout.buffer, b"+", f"{extension}\n".encode(), picture)
            del picture
        del body


def _allow_cpu(seconds: int) -> None:
    """From now on; whoever takes longer is ended by the system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, hard))


if __name__ == "__main__":
    main(sys.argv[1])
