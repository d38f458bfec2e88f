from tests.pipeline.cli.conftest import Ryla


def test_all_is_well_with_a_good_bucket(ryla: Ryla) -> None:
    answer = ryla("doctor", "--json")

    assert answer.code == 0
    assert answer.document["healthy"]
    assert [row["check"] for row in answer.document["checks"]] == [
        "settings",
        "bucket",
        "conditional writes",
        "clock",
        "ComfyUI",
        "licences",
        "face models",
        "PostHog",
        "SeaweedFS",
    ]
    assert "really conditional" in ryla("doctor").out


def test_a_bucket_that_is_not_there_fails_with_a_fix(ryla: Ryla) -> None:
    answer = ryla("doctor", RYLA_BUCKET="no-such-bucket")

    assert answer.code == 1
    assert "store_denied" in answer.out
    assert "→ Check the bucket's name" in answer.out


def test_settings_that_cannot_be_read_are_the_first_to_mend(bare_ryla: Ryla) -> None:
    answer = bare_ryla("doctor", "--json", RYLA_BUKKET="x")

    [row] = answer.document["checks"]
    assert answer.code == 1
    assert (row["check"], row["health"]) == ("settings", "failed")
    assert "RYLA_BUCKET" in row["fix"]
