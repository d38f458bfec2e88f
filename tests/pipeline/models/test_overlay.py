import tomllib
from pathlib import Path

import pytest

from config.errors import InvalidSetting
from config.models import load_models
from pipeline.models import overlay

OWN = """\
# Ours, and why.
[weights.flux1-dev]   # the base
licence = "another"  # see the contract
verified = false

[sets.mine]
unet = "flux1-dev"
"""


def test_facts_are_set_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(OWN)

    overlay.write(file, {("weights", "flux1-dev"): {"verified": True, "bytes": 7}})

    assert file.read_text() == OWN.replace("verified = false", "verified = true\nbytes = 7")


def test_a_table_that_is_not_there_is_added(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(OWN)

    overlay.write(file, {("weights", "ae"): {"licence_note": 'by "letter" of 3 May'}})

    assert file.read_text() == f'{OWN}\n[weights.ae]\nlicence_note = "by \\"letter\\" of 3 May"\n'


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    file = tmp_path / "deployment" / "models.toml"

    overlay.write(file, {("weights", "ae"): {"verified": True}})

    assert load_models(file).weights_by_name["ae"].verified
    assert [each.name for each in file.parent.iterdir()] == ["models.toml"]


@pytest.mark.parametrize(
    "text",
    [
        'weights.ae.licence = "another"\n',
        '[weights]\nae = {licence = "another"}\n',
        'weights = {ae = {licence = "another"}}\n',
    ],
    ids=["dotted", "inline", "all inline"],
)
def test_a_file_written_otherwise_is_left_alone_and_the_lines_are_told(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text)

    with pytest.raises(InvalidSetting) as caught:
        overlay.write(file, {("weights", "ae"): {"verified": True}})

    assert file.read_text() == text
    assert tomllib.loads(text)["weights"]["ae"] == {"licence": "another"}
    assert "[weights.ae]\nverified = true" in str(caught.value.hint) or "not TOML" in str(
        caught.value
    )


def test_what_the_table_would_refuse_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(OWN)

    with pytest.raises(InvalidSetting, match="sha256"):
        overlay.write(file, {("weights", "ae"): {"sha256": "short"}})

    assert file.read_text() == OWN
    assert [each.name for each in tmp_path.iterdir()] == ["models.toml"]
