"""What README, quickstart and operations show is run, page by page, as a reader would."""

import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from PIL import Image
from typer.main import get_command

from pipeline.cli.app import app
from tests.docs.conftest import SHOWN_URL, Up
from tests.support.doc_blocks import ROOT, blocks, run_python, run_script, run_shell
from tests.support.posthog_receiver import PostHogReceiver

pytestmark = pytest.mark.xdist_group("docs")

PAGES = (
    "README.md",
    pytest.param("docs/quickstart.md", marks=pytest.mark.thorough),
    "docs/operations.md",
)
NOT_RUN = "# not run by the tests: "
RUN_ELSEWHERE: Mapping[str, str] = {
    "make demo": "tests/pipeline/local/demo/test_demo.py",
    "make test": "Makefile",
    "source .venv/bin/activate": "Makefile",
    "ryla up": "tests/pipeline/local/test_stack.py",
    "pip install ./clients": "tests/clients/test_install.py",
    "npm ci --prefix clients/typescript": "Makefile",
    "npm run build --prefix clients/typescript": "tests/clients/test_typescript.py",
}
"""Lines that are not run here, and where they are."""
NO_COMMANDS = ("json", "yaml")
COMMAND_LINE = get_command(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_gets_what_the_page_says(
    page: str, reader: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    ryla("submit", "examples/manifests/paper-fox.json", "--wait", "60")
    skipped = set()
    for block in blocks(ROOT / page):
        text = block.text.replace(SHOWN_URL, reader.url)
        if block.file is not None:
            Path(block.file).write_text(text)
        elif block.language == "python":
            run_python(text)
        elif block.language == "sh" and text.startswith("node ") and _no_typescript():
            skipped.add(_no_typescript())
        elif block.language == "sh":
            _shell(text, reader, monkeypatch)
        else:
            assert block.language in NO_COMMANDS, block.place

    for file in [*Path().glob("*.png"), *Path().glob("pictures/*/*.*g")]:
        with Image.open(file) as picture:
            picture.load()
    if skipped:
        pytest.skip(f"all but TypeScript: {skipped}")


def _shell(text: str, reader: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    if text.startswith(NOT_RUN):
        return
    lines = [line for line in text.splitlines() if line and not _is_run_elsewhere(line)]
    with ExitStack() as around:
        if "RYLA_POSTHOG_HOST" in text:
            around.enter_context(_posthog(monkeypatch))
        if "ryla cancel" in text:  # else the job would be finished first
            around.enter_context(reader.dispatching.shut())
        _run(lines, monkeypatch)


@contextmanager
def _posthog(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """That has to get something."""
    with PostHogReceiver() as receiver, monkeypatch.context() as environ:
        environ.setenv("RYLA_POSTHOG_HOST", receiver.url)
        environ.setenv("RYLA_POSTHOG_API_KEY", "phc_of_the_reader")
        yield
        assert receiver.accepted()


def _run(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's in this process where they are plain: one of its own takes most of a second."""
    plain: Mapping[str, Callable[[str], None]] = {
        "ryla ": _ryla,
        "python clients/": lambda line: run_script(line, monkeypatch),
    }
    for begin, run in plain.items():
        if all(line.startswith(begin) and not set("|<>") & set(line) for line in lines):
            for line in lines:
                run(line)
            return
    run_shell("\n".join(lines))


def ryla(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        COMMAND_LINE.main(list(words), "ryla")
    assert end.value.code == code, words
    structlog.reset_defaults()


def _ryla(line: str) -> None:
    ryla(*shlex.split(line, comments=True)[1:], code="# exit code 1" in line)


def _is_run_elsewhere(line: str) -> bool:
    return line.partition("  #")[0].strip() in RUN_ELSEWHERE


def _no_typescript() -> str | None:
    """Why its client cannot be used here."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (ROOT / "clients/typescript/dist/src/index.js").exists():
        return "the client is not built: npm run build --prefix clients/typescript"
    return None


def test_the_result_in_the_readme_is_that_of_its_job(reader: Up) -> None:
    [shown] = [json.loads(b.text) for b in blocks(ROOT / "README.md") if b.language == "json"]

    ryla("submit", "examples/manifests/paper-fox.json", "--wait", "60")
    ryla("results", "paper-fox", "--out", "shown")
    made = json.loads(Path("shown/paper-fox/result.json").read_text())

    assert len(_paths(shown)) > 20
    assert _paths(shown) <= _paths(made)
    for name in ("v", "id", "status", "model", "tenant", "attempt", "seed", "error"):
        assert shown[name] == made[name]


def _paths(value: Any, path: str = "") -> set[str]:
    """Every field, with those it stands in; of a list, those of its first item."""
    if isinstance(value, dict):
        return {each for name in value for each in _paths(value[name], f"{path}.{name}")}
    return _paths(value[0], path) if isinstance(value, list) and value else {path}


def test_what_is_run_elsewhere_is() -> None:
    assert all((ROOT / file).is_file() for file in RUN_ELSEWHERE.values())


def test_s3_takes_the_lifecycle_rules() -> None:
    from botocore.stub import Stubber

    from config.settings import Settings
    from pipeline.store.s3 import connect

    page = blocks(ROOT / "docs/operations.md")
    [rules] = [json.loads(block.text) for block in page if block.file == "lifecycle.json"]
    client: Any = connect(Settings())
    client.meta.config.parameter_validation = True
    with Stubber(client) as stub:
        stub.add_response("put_bucket_lifecycle_configuration", {})
        client.put_bucket_lifecycle_configuration(Bucket="ryla", LifecycleConfiguration=rules)
