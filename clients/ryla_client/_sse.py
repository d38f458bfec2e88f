"""Server-sent events out of a stream of bytes that may be cut anywhere."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r(?!\Z)|\n")  # a CR at the end may be half of a CRLF


@dataclass(frozen=True)
class ServerEvent:
    id: str | None
    """The last one given, by this event or an earlier one."""
    name: str
    """`message` where the server gives none."""
    data: str


class Parser:
    """One connection's events. `last_id` and `retry` are told by the server and outlive it."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        """Of the last event that came whole."""
        self.retry: float | None = None
        """Seconds to wait before the next connection."""
        self._begin()

    def _begin(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._id = self.last_id
        self._name = ""
        self._data: list[str] = []

    def reconnect(self) -> None:
        """What the last connection left unfinished is forgotten; it will come again."""
        self._begin()

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that this chunk completes."""
        *lines, self._rest = _LINE_END.split(self._rest + self._decoder.decode(chunk))
        for line in lines:
            if line:
                self._field(line)
                continue
            self.last_id = self._id
            name, data = self._name or "message", self._data
            self._name, self._data = "", []
            if data:
                yield ServerEvent(self.last_id, name, "\n".join(data))

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000
