from pipeline.api.paths import ENDPOINTS, GONE
from tools.endpoints_doc import PATH, old_paths, render, table


def test_the_page_of_the_api_is_current() -> None:
    assert PATH.read_text("utf-8") == render(), "run: python -m tools.endpoints_doc"


def test_every_endpoint_and_every_old_path_is_told_of() -> None:
    endpoints, old = table(), old_paths()

    assert all(f"POST {each.path}`" in endpoints for each in ENDPOINTS)
    assert all(f"| `{each.path.partition('{')[0]}" in old for each in GONE)
    assert all(f"` | 410. {each.instead} |" in old for each in GONE)
    assert all(f"| `{each.path}` |" in old for each in ENDPOINTS if each.old)
