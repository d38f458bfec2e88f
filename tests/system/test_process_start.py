import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from system.process_start import IMPORTED_AT, born_at


def test_a_process_is_born_before_it_imports_us() -> None:
    assert born_at() <= IMPORTED_AT <= time.monotonic()


def test_a_fresh_process_was_born_a_moment_ago() -> None:
    script = (
        "import time; from system.process_start import born_at; print(time.monotonic() - born_at())"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert 0 < float(told.stdout) < 30


def test_a_name_with_brackets_and_spaces_misleads_nobody(tmp_path: Path) -> None:
    own = Path("/proc/self/stat").read_text()
    stat = tmp_path / "stat"
    stat.write_text(f"1 (a) b (c) {own.rsplit(')', 1)[1]}")
    assert born_at(stat) == pytest.approx(born_at(), abs=0.1)


@pytest.mark.parametrize("text", [None, "", "1 (python) S 1", "1 (python) " + "x " * 40])
def test_where_nobody_says_it_is_the_first_import(tmp_path: Path, text: str | None) -> None:
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    assert born_at(stat) == IMPORTED_AT


def test_a_birth_hours_before_the_import_is_another_clocks_and_costs_nobody(tmp_path: Path) -> None:
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    fields[19] = str(int(fields[19]) - 3 * 3600 * os.sysconf("SC_CLK_TCK"))
    stat = tmp_path / "stat"
    stat.write_text(f"1 (python) {' '.join(fields)}")
    assert born_at(stat) == IMPORTED_AT
