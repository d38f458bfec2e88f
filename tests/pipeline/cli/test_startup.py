"""What a command imports. Times differ from machine to machine; the modules do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import PREFIX
from pipeline.cli.commands import SUMMARIES

OURS = {"config", "events", "handlers", "pipeline", "workflows"}
STORE = {"boto3", "botocore"}
HEAVY = STORE | {
    "PIL",
    "fastapi",
    "httpx",
    "huggingface_hub",
    "insightface",
    "jinja2",
    "modal",
    "numpy",
    "onnxruntime",
    "posthog",
    "requests",
    "sse_starlette",
    "starlette",
    "uvicorn",
    "websockets",
}
OF_ANSWERS = {"pydantic", "rich", "structlog"}

RUN = """
import json, sys
from pipeline.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(folder: Path, *words: str) -> set[str]:
    """Every module that is there at the end of `ryla` in an empty folder, without any setting."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        env=plain,
        capture_output=True,
        text=True,
        check=False,
    )
    modules: list[str] = json.loads(done.stderr.splitlines()[-1])
    assert "pipeline.cli.app" in modules
    return set(modules)


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def ours(modules: set[str]) -> set[str]:
    """Without the packages that hold them."""
    mine = {name for name in modules if name.partition(".")[0] in OURS}
    return {name for name in mine if not any(other.startswith(f"{name}.") for other in mine)}


@pytest.mark.parametrize(
    ("word", "needless"),
    [("--help", HEAVY | OF_ANSWERS - {"rich"}), ("--version", HEAVY | OF_ANSWERS)],
)
def test_what_every_command_shares_imports_no_command(
    tmp_path: Path, word: str, needless: set[str]
) -> None:
    modules = imported(tmp_path, word)

    assert packages(modules) & needless == set()
    assert ours(modules) == {
        "config.version",
        *(f"pipeline.cli.{each}" for each in ("app", "commands", "letters")),
    }


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["schema"], set()),
        (["events"], set()),
        (["status"], STORE),
        (["audit"], STORE),
        (["faces", "--help"], {"PIL"}),
        (["comfyui", "--help"], {"httpx", "websockets"}),
        *(
            pytest.param(words, needed, marks=pytest.mark.thorough)
            for words, needed in (
                (["keys", "new", "acme"], set()),
                (["models", "list"], set()),
                (["watch"], STORE),
                (["results", "--all"], STORE),
                (["cancel", "portrait-1"], STORE),
                (["loras", "list"], STORE),
            )
        ),
    ],
)
def test_a_command_imports_what_it_needs(
    tmp_path: Path, words: list[str], needed: set[str]
) -> None:
    modules = imported(tmp_path, *words)

    assert f"pipeline.cli.{words[0]}" in modules
    assert packages(modules) & HEAVY <= needed
    assert {f"pipeline.cli.{name}" for name in SUMMARIES} & modules <= {
        f"pipeline.cli.{words[0]}",
        "pipeline.cli.status",  # whose table `watch` shows
    }
