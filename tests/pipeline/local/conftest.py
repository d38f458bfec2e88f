import os

import pytest

from config.settings import Settings
from pipeline.local.demo.batch import load_batch
from pipeline.local.demo.demo import DemoRun, prepare, run_demo
from pipeline.local.demo.manifests import EXAMPLES, load_examples

LONG = ("rosa-sheet",)
"""A sheet of ten views takes as long as all the others; two of three views are among them."""


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """One demo of the examples but the longest. Its tests share an xdist group: it runs once."""
    out = tmp_path_factory.mktemp("demo") / "out"
    prepare(out)
    examples = [each for each in load_examples(EXAMPLES) if each.id not in LONG]
    return run_demo(out, examples, Settings(), os.environ, lambda views: None, load_batch(EXAMPLES))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at a whole demo is left to `make thorough`; `make demo` checks itself too."""
    for item in items:
        if "demo_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.thorough)
