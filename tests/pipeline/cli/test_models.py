from tests.pipeline.cli.conftest import Ryla


def test_the_list_shows_licences_and_what_is_here(models: Ryla) -> None:
    rows = {row["name"]: row for row in models("list", "--json").document}

    assert rows["tiny"]["here"] == "missing"
    assert rows["tiny"]["sets"] == ["tiny"]
    assert rows["flux1-dev"]["active"]
    assert not rows["flux1-dev"]["commercial_use"]
    assert "flux-1-dev-non-commercial-license" in models("list").out


def test_the_plan_says_bytes_and_dollars_a_month(models: Ryla) -> None:
    document = models("plan", "flux-dev", "--json").document

    assert document["bytes"] == 34_172_222_116
    assert document["usd_per_month"] == 0
    assert document["usd_per_month_beyond_free"] == 2.86
    assert "$2.86" in models("plan", "flux-dev").out
    assert "Unknown   length of tiny.safetensors" in models("plan", "tiny").out


def test_an_unknown_set_is_an_error(models: Ryla) -> None:
    answer = models("plan", "flux-devv", "--json")

    assert answer.code == 1
    assert answer.error["code"] == "missing_model"
