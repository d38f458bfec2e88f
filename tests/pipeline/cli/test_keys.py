from config.settings import Settings
from pipeline.api.auth import Authenticator, Peer
from tests.pipeline.cli.conftest import Ryla


def test_a_new_key_works_with_the_setting_that_comes_with_it(bare_ryla: Ryla) -> None:
    made = bare_ryla("keys", "new", "acme", "--json").document

    doorman = Authenticator.of(Settings.model_validate({"api_keys": made["setting"]}))
    asking = Peer("203.0.113.7", {"authorization": f"Bearer {made['key']}"})
    assert doorman.tenant(asking) == made["tenant"] == "acme"
    assert made["key"] not in made["setting"]


def test_people_read_both_lines(bare_ryla: Ryla) -> None:
    said = bare_ryla("keys", "new", "acme").out

    assert "ryla_" in said
    assert "RYLA_API_KEYS  acme:" in said


def test_a_tenant_must_fit_into_a_key_of_the_bucket(bare_ryla: Ryla) -> None:
    answer = bare_ryla("keys", "new", "ACME Inc", "--json")

    assert (answer.code, answer.error["code"]) == (1, "invalid_setting")
