"""Who may ask."""

import pytest

from config.errors import InvalidSetting
from config.settings import Settings
from pipeline.api.auth import Authenticator, Peer, hashed, network_of, new_key
from pipeline.api.request_errors import LoopbackOnly, NotAuthenticated
from tests.support.api_fixture import keys

ACME, ZENITH = "ryla_acme-key", "ryla_zenith-key"
KEYED = Authenticator.of(Settings.model_validate({"api_keys": keys(acme=ACME, zenith=ZENITH)}))
OPEN = Authenticator.of(Settings(tenant="local"))


def peer(address: str | None = "127.0.0.1", host: str = "127.0.0.1:8787", **headers: str) -> Peer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Peer(address, {"host": host, **names})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_key_says_which_tenant_asks_from_wherever(scheme: str) -> None:
    asking = peer("203.0.113.7", "api.example.com", authorization=f"{scheme} {ZENITH}")

    assert KEYED.tenant(asking) == "zenith"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {ACME}", ACME, "Bearer wrong", f"Bearer {ACME} x"]
)
def test_without_a_known_key_nobody_is_let_in(header: str) -> None:
    with pytest.raises(NotAuthenticated):
        KEYED.tenant(peer(authorization=header))


def test_bytes_that_are_no_text_are_a_wrong_key() -> None:
    with pytest.raises(NotAuthenticated):
        KEYED.tenant(peer(authorization="Bearer \udcff\xe9"))


def test_a_tenant_may_have_several_keys() -> None:
    authenticator = Authenticator.of(
        Settings.model_validate({"api_keys": f"{keys(acme='a')}, {keys(acme='b')},"})
    )

    assert [authenticator.tenant(peer(authorization=f"Bearer {key}")) for key in "ab"] == [
        "acme"
    ] * 2


@pytest.mark.parametrize("setting", ["acme", "acme:zz", f"ACME:{'0' * 64}", f"acme:{'0' * 63}"])
def test_a_setting_that_is_no_list_of_keys_is_refused_without_being_repeated(setting: str) -> None:
    with pytest.raises(InvalidSetting) as wrong:
        Authenticator.of(Settings.model_validate({"api_keys": setting}))

    assert setting not in f"{wrong.value.message}{wrong.value.value}{wrong.value.hint}"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8787", "[::1]:8787", "ryla.localhost"])
def test_without_any_key_configured_this_machine_may_ask(address: str, host: str) -> None:
    assert OPEN.tenant(peer(address, host)) == "local"


@pytest.mark.parametrize(
    "asking",
    [
        peer("192.0.2.1"),
        peer("::ffff:192.0.2.1"),
        peer(None),
        peer("not-an-address"),
        peer(host="evil.example.com"),
        peer(host="127.0.0.1.evil.example.com"),
        peer(host="localhost@evil.example.com"),
        peer(host=""),
        peer(x_forwarded_for="127.0.0.1"),
        peer(forwarded="for=127.0.0.1"),
        peer(origin="https://evil.example.com"),
        peer(origin="null"),
        peer(origin="http://[::1"),
        peer(origin="http://[::1].evil"),
        peer(origin="http://[::1]:80.evil"),
        peer(origin="http://127.0.0.1@evil.example.com"),
        peer(origin="http://evil.example.com/127.0.0.1"),
        peer(origin="file://127.0.0.1"),
        peer(origin=""),
        peer(sec_fetch_site="cross-site"),
        peer(sec_fetch_site="Cross-Site", sec_fetch_mode="no-cors", sec_fetch_dest="image"),
        peer(x_forwarded_proto="https"),
        peer(cf_connecting_ip="203.0.113.7"),
        peer(cf_ray="1"),
        peer(cdn_loop="cloudflare"),
        peer(true_client_ip="203.0.113.7"),
        peer(x_client_ip="203.0.113.7"),
        peer(x_envoy_external_address="203.0.113.7"),
        peer(fly_client_ip="203.0.113.7"),
        peer(tailscale_user_login="somebody"),
        peer(x_original_url="/jobs"),
        peer(origin="https://127.0.0.1.evil.example.com"),
    ],
)
def test_without_any_key_configured_nobody_else_may(asking: Peer) -> None:
    with pytest.raises(LoopbackOnly):
        OPEN.tenant(asking)


def test_pages_of_this_machine_and_of_listed_sites_may_ask() -> None:
    listing = Authenticator.of(Settings(cors_origins="https://app.example.com"))

    assert OPEN.tenant(peer(origin="http://localhost:3000")) == "local"
    assert OPEN.tenant(peer(origin="http://[::1]:3000", sec_fetch_site="cross-site")) == "local"
    assert OPEN.tenant(peer(sec_fetch_site="same-origin")) == "local"
    assert OPEN.tenant(peer(sec_fetch_site="none")) == "local"
    assert listing.tenant(peer(origin="https://app.example.com")) == "default"


def test_a_new_key_is_long_and_never_the_same() -> None:
    made = {new_key() for _ in range(20)}

    assert len(made) == 20
    assert all(key.startswith("ryla_") and len(key) >= 48 for key in made)
    assert hashed("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def test_the_many_addresses_of_one_machine_are_one_network() -> None:
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db9::1")
    assert network_of(None) == network_of("testclient") == ""
