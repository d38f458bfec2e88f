import os

import pytest

from config.settings import Settings
from pipeline.local.demo.demo import DemoRun, prepare, run_demo
from pipeline.local.demo.manifests import EXAMPLES, load_examples


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """One real demo of the real examples. Its tests share an xdist group, so that it runs once."""
    out = tmp_path_factory.mktemp("demo") / "out"
    prepare(out)
    return run_demo(out, load_examples(EXAMPLES), Settings(), os.environ, lambda views: None)
