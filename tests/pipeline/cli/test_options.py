import json
from pathlib import Path

import pytest

from config.errors import InvalidSetting
from pipeline.cli.options import load_cli_settings
from pipeline.local.state_folder import STACK_FILE
from tests.pipeline.cli.conftest import Ryla

STACK = {
    "bucket": "local-bucket",
    "endpoint_url": "http://127.0.0.1:1",
    "access_key_id": "key",
    "secret_access_key": "hush",
    "environment": "laptop",
}


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / STACK_FILE).write_text(json.dumps(STACK))
    return tmp_path


def test_a_running_stack_names_the_bucket(stack: Path) -> None:
    for settings in (
        load_cli_settings({}, stack),
        load_cli_settings({"RYLA_STATE_DIR": str(stack)}),
    ):
        assert (settings.bucket, settings.environment) == ("local-bucket", "laptop")
        assert settings.secret_access_key is not None
        assert settings.secret_access_key.get_secret_value() == "hush"
        assert settings.state_dir == stack


def test_the_environment_goes_over_the_stack(stack: Path) -> None:
    settings = load_cli_settings({"RYLA_ENVIRONMENT": "mine", "RYLA_TENANT": " "}, stack)

    assert (settings.bucket, settings.environment) == ("local-bucket", "mine")
    assert settings.tenant == "default"


@pytest.mark.parametrize(
    "named", [{"RYLA_BUCKET": "mine"}, {"RYLA_ENDPOINT_URL": "https://s3.example.com"}]
)
def test_a_bucket_in_the_environment_is_never_mixed_with_the_stack(
    stack: Path, named: dict[str, str]
) -> None:
    settings = load_cli_settings(named, stack)

    assert settings.access_key_id is None
    assert settings.environment == "local"


def test_the_folder_that_is_given_goes_over_the_environment(stack: Path, tmp_path: Path) -> None:
    assert load_cli_settings({"RYLA_STATE_DIR": "/elsewhere"}, stack).bucket == "local-bucket"


def test_without_stack_and_environment_the_defaults_hold(tmp_path: Path) -> None:
    assert load_cli_settings({}, tmp_path).bucket == "ryla"


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"no_such_setting": 1}', '{"max_attempts": "many"}']
)
def test_a_stack_file_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / STACK_FILE).write_text(text)

    with pytest.raises(InvalidSetting):
        load_cli_settings({}, tmp_path)


def test_a_command_that_needs_a_bucket_says_how_to_name_one(bare_ryla: Ryla) -> None:
    answer = bare_ryla("status", "--json")

    assert answer.code == 1
    assert answer.error["code"] == "invalid_setting"
    assert "ryla up" in answer.error["hint"]


def test_a_stack_that_is_gone_is_blamed(bare_ryla: Ryla, stack: Path) -> None:
    answer = bare_ryla("status", "--state-dir", stack, "--json")

    assert answer.error["code"] == "store_unavailable"
    assert "ryla up" in answer.error["hint"]


def test_a_wrong_setting_is_named(bare_ryla: Ryla) -> None:
    answer = bare_ryla("status", RYLA_BUCKET="bucket", RYLA_MAX_ATTEMPTS="many")

    assert answer.code == 1
    assert "RYLA_MAX_ATTEMPTS" in answer.err


@pytest.mark.parametrize("amount", ["nan", "inf", "-1"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("plan", "."), "--over"),
        (("sheets", "submit", "no.csv", "--name", "autumn"), "--budget-usd"),
        (("accept", "--plan", "no.toml"), "--max-cost-usd"),
    ],
)
def test_what_is_to_bound_something_is_a_number(
    bare_ryla: Ryla, words: tuple[str, ...], option: str, amount: str
) -> None:
    (Path.cwd() / "no.csv").touch()
    (Path.cwd() / "no.toml").touch()
    answer = bare_ryla(*words, option, amount)
    assert answer.code == 2
    assert option in answer.err
