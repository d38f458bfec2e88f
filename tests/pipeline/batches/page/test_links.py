from pathlib import Path

import pytest

from config.errors import InvalidInput
from config.settings import Settings
from pipeline.batches.page.links import links_beside, signed_links
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store

KEY = "jobs/x/out/a1/01 front.png"


def test_a_file_beside_the_page_is_linked_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / KEY
    file.parent.mkdir(parents=True)
    file.touch()
    link = links_beside(tmp_path)
    assert link(KEY) == "jobs/x/out/a1/01%20front.png"
    assert link("jobs/x/out/a1/02-back.png") is None


@pytest.mark.parametrize(
    "key", ["jobs/../secret", "/etc/passwd", "javascript:alert(1)", "jobs//x", "jobs/\0", "secret"]
)
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "jobs").mkdir()
    assert links_beside(tmp_path)(key) is None


def test_a_signed_link_is_the_stores_own() -> None:
    settings = Settings(
        bucket="art",
        endpoint_url="http://127.0.0.1:9",
        access_key_id="someone",
        secret_access_key="secret",
    )
    url = signed_links(open_store(settings).raw, 48)("jobs/x/out/a.png")
    assert url is not None
    assert url.startswith("http://127.0.0.1:9/art/")
    assert "jobs/x/out/a.png?" in url
    assert "172800" in url


def test_a_store_that_signs_nothing_is_told_so() -> None:
    with pytest.raises(InvalidInput, match="signs no URLs"):
        signed_links(MemoryStore(), 1)
