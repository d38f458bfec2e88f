"""What is told to a tenant of an error: without addresses in memory, and without the folders of the
machine that it happened on."""

import re

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,16}\b")
_OBJECT = re.compile(r"<[\w.]+(?: object)? at 0x[0-9a-fA-F]+>")
"""How Python shows an object that says nothing of itself."""
_ROOTS = (
    *("root", "home", "Users", "opt", "usr", "var", "etc", "tmp", "private", "mnt", "srv", "proc"),
    *("sys", "dev", "run", "app", "work", "workspace", "models", "loras", "cache", "data"),
)
_PATH = re.compile(rf"(?<![\w./:-])/(?:{'|'.join(_ROOTS)})/(?:[^\s/'\":;,()<>\[\]]+/)*")
"""The folders of an absolute path; paths of the HTTP API begin with none of these but /models and
/loras, which have nothing below them."""


def public(text: str) -> str:
    """Of a path, its last part stays: it says which file is meant."""
    return _PATH.sub("", _ADDRESS.sub("0x…", _OBJECT.sub("an object", text)))
