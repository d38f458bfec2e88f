import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from config.logs import configure_logs, logs_into
from config.settings import Settings

SETTINGS = Settings(log_format="json", log_level="warning")


@pytest.fixture(autouse=True)
def reset_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(SETTINGS)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", job="fox")

    out, err = capsys.readouterr()
    said = json.loads(err)
    assert out == ""
    assert (said["event"], said["level"], said["job"]) == ("loud", "warning", "fox")


def test_lines_go_to_the_end_of_a_file_and_to_stderr_again_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state" / "up.log"
    for event in ("first", "second"):
        with logs_into(file, SETTINGS):
            structlog.get_logger().warning(event)
    structlog.get_logger().warning("third")

    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == [
        "first",
        "second",
    ]
    assert json.loads(capsys.readouterr().err)["event"] == "third"
