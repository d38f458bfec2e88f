"""`ryla` as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

_MAIN = "from pipeline.cli import main; main()"


def start_ryla(
    *arguments: str, cwd: Path, environ: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[str]:
    """Without the settings of whoever runs the tests, but with `environ`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RYLA_")}
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, *arguments],
        cwd=cwd,
        env={**plain, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ryla(
    *arguments: str,
    cwd: Path,
    environ: Mapping[str, str] = MappingProxyType({}),
    within_s: float = 60,
) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with start_ryla(*arguments, cwd=cwd, environ=environ) as process:
        try:
            answer, errors = process.communicate(timeout=within_s)
        finally:
            process.kill()
    return process.returncode, answer, errors


def next_document(process: subprocess.Popen[str]) -> Any:
    """The next line of JSON on its stdout."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())
