"""Where the page's pictures are to be had in full."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from config.errors import InvalidInput
from pipeline.contract.keys import JOBS
from pipeline.store.base import Presigns, Store

Link = Callable[[str], str | None]
"""Key → URL; None where there is none to give."""
MOST_HOURS = 7 * 24
"""No store signs for longer."""


def signed_links(store: Store, hours: int) -> Link:
    """Whoever has the page may read its pictures for so long. Raises InvalidInput where the store
    signs nothing."""
    if not isinstance(store, Presigns):
        raise InvalidInput("this store signs no URLs", field="--links", value=hours)
    return lambda key: store.presigned_url(key, hours * 3600)


def links_beside(folder: Path) -> Link:
    """To the files of a copy of the bucket in the page's own folder, as far as there is one."""

    def link(key: str) -> str | None:
        parts = key.split("/")
        plain = key.startswith(JOBS) and not {"", ".", ".."}.intersection(parts)
        return quote(key) if plain and "\0" not in key and (folder / key).is_file() else None

    return link
