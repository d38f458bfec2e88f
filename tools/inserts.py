"""Writes the generated parts of pages written by hand: `python -m tools.inserts`.

A part stands between `<!-- generated: NAME … -->` and `<!-- end of NAME -->`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tools import endpoints_doc, errors_doc, sheets_doc

ROOT = Path(__file__).parent.parent
PARTS: Mapping[str, Callable[[], str]] = {
    "old paths": endpoints_doc.old_paths,
    "error codes": errors_doc.tables,
    "heads": sheets_doc.heads,
    "sheet bounds": sheets_doc.bounds,
    "sheet combinations": sheets_doc.combinations,
    "sheet views": sheets_doc.presets,
    "sheet phrases": sheets_doc.phrases,
}
PAGES = ("docs/character-sheets.md", "docs/errors.md", "docs/faces.md", "docs/migrate.md")
_PART = re.compile(r"(<!-- generated: ([^,>]+)[^>]*-->\n\n).*?(<!-- end of \2 -->)", re.DOTALL)


def names(page: str) -> list[str]:
    """The parts that a page has."""
    return [match[2] for match in _PART.finditer(page)]


def rendered(page: str) -> str:
    """The page with its parts as they should be. Raises KeyError for one that is unknown."""
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[3]}", page)


if __name__ == "__main__":
    for name in PAGES:
        path = ROOT / name
        path.write_text(rendered(path.read_text("utf-8")), "utf-8")
