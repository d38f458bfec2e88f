import json
import os
import stat
from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.settings import Settings
from pipeline.local.state_folder import STACK_FILE, hold, left_over, publish

SETTINGS = Settings.model_validate({"access_key_id": "key", "secret_access_key": "hush"})


def test_a_folder_is_left_over_once_nobody_holds_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        left_over(tmp_path)
    with hold(tmp_path):
        assert not left_over(tmp_path)

    assert left_over(tmp_path)


def test_a_folder_is_held_by_one_process_which_the_next_is_told(tmp_path: Path) -> None:
    with (
        hold(tmp_path),
        pytest.raises(InvalidSetting, match=f"process {os.getpid()} ") as error,
        hold(tmp_path),
    ):
        pass

    assert error.value.value == str(tmp_path)


def test_the_settings_are_there_for_the_owner_while_the_stack_runs(tmp_path: Path) -> None:
    file = tmp_path / STACK_FILE
    with publish(tmp_path, SETTINGS, None):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["secret_access_key"] == "hush"

    assert not file.exists()
