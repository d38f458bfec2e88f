import tomllib
from importlib import resources
from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.gpus import load_gpus
from config.models import load_models
from tests.config.own_tables import written


@pytest.mark.parametrize(
    ("text", "field", "value", "hint"),
    [
        ("[gpus.L40S]\nusd_per_second = -1.0", "gpus.L40S.usd_per_second", -1.0, None),
        ("[gpus.L40S]\nusd_per_second = 'x'", "gpus.L40S.usd_per_second", "x", None),
        ("[gpus.L40S]\nusd_per_secnd = 1.0", "gpus.L40S.usd_per_secnd", 1.0, "usd_per_second"),
        ("[gpus.New]\nusd_per_second = 1.0", "gpus.New.source", None, None),
        ("gpus = 3", "gpus", 3, None),
        ("[gpus.L40S]\nspeed = 'eagr'", "gpus.L40S.speed", "eagr", "eager"),
    ],
)
def test_an_error_names_file_key_value_and_the_nearest_key(
    tmp_path: Path, text: str, field: str, value: object, hint: str | None
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(InvalidSetting) as caught:
        load_gpus(path)

    error = caught.value
    assert str(path) in error.message
    assert field in error.message
    assert (error.field, error.value) == (field, value)
    assert (hint or "") in (error.hint or "")


@pytest.mark.parametrize("text", ["[gpus", "a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(InvalidSetting, match="not TOML") as caught:
        load_gpus(path)
    assert str(path) in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"nothing\.toml: No such file"):
        load_models(tmp_path / "nothing.toml")


@pytest.mark.parametrize("name", ["gpus.toml", "routes.toml", "models.toml", "budgets.toml"])
def test_the_tables_are_packaged(name: str) -> None:
    assert tomllib.loads((resources.files("config") / name).read_text("utf-8"))
