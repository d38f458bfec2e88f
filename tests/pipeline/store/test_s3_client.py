from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from botocore.httpsession import get_cert_path

from config.errors import StoreDenied
from config.settings import Settings
from pipeline.store.base import OutcomeUnknown
from pipeline.store.s3_client import Account

KEYS = {"access_key_id": "AK", "secret_access_key": "SK"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing here is the machine's own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def account(**named: Any) -> Account:
    return Account(Settings.model_validate({**KEYS, **named}))


R2 = "https://0123.r2.cloudflarestorage.com"


@pytest.mark.parametrize(
    ("named", "origin", "path", "region"),
    [
        pytest.param(
            {"endpoint_url": "http://127.0.0.1:8333"},
            "http://127.0.0.1:8333",
            "/jobs",
            "us-east-1",
            id="a store of one's own",
        ),
        pytest.param({"endpoint_url": R2, "region": "auto"}, R2, "/jobs", "auto", id="R2"),
        pytest.param(
            {"endpoint_url": R2, "region": "auto", "addressing_style": "virtual"},
            "https://jobs.0123.r2.cloudflarestorage.com",
            "",
            "auto",
            id="R2, virtual",
        ),
        pytest.param(
            {"region": "eu-west-1"},
            "https://jobs.s3.eu-west-1.amazonaws.com",
            "",
            "eu-west-1",
            id="AWS",
        ),
        pytest.param(
            {"region": "eu-west-1", "addressing_style": "path"},
            "https://s3.eu-west-1.amazonaws.com",
            "/jobs",
            "eu-west-1",
            id="AWS, path",
        ),
        pytest.param(
            {"region": "eu-west-1", "bucket": "my.jobs"},
            "https://s3.eu-west-1.amazonaws.com",
            "/my.jobs",
            "eu-west-1",
            id="a name that no certificate covers",
        ),
        pytest.param(
            {"endpoint_url": "https://gate.example.com:443/s3"},
            "https://gate.example.com",
            "/s3/jobs",
            "us-east-1",
            id="behind a gateway",
        ),
    ],
)
def test_requests_go_where_boto3_would_send_them(
    named: dict[str, str], origin: str, path: str, region: str
) -> None:
    bucket = named.get("bucket", "jobs")
    found = account(**named).locate(bucket)
    assert (found.origin, found.path, found.region) == (origin, path, region)
    assert found.user_agent.startswith("Boto3/")
    assert found.proxy is None


def test_the_region_may_be_another_than_the_settings() -> None:
    settings = Settings.model_validate({**KEYS, "region": "us-east-1"})
    found = Account(settings, "eu-west-1").locate("jobs")
    assert (found.region, found.host) == ("eu-west-1", "jobs.s3.eu-west-1.amazonaws.com")


def test_the_client_sends_again_once_it_was_asked_where_a_bucket_is() -> None:
    asked = account(endpoint_url="http://127.0.0.1:9")
    asked.locate("jobs")
    with pytest.raises(Exception, match="Could not connect"):
        asked.client.get_object(Bucket="jobs", Key="k")


@pytest.mark.parametrize(
    ("scheme", "named", "proxy"),
    [
        (
            "https",
            {"HTTPS_PROXY": "http://proxy.example.com:3128"},
            "http://proxy.example.com:3128",
        ),
        ("https", {"https_proxy": "us:pw@proxy:1"}, "http://us:pw@proxy:1"),
        ("http", {"HTTPS_PROXY": "http://proxy.example.com:3128"}, None),
        ("http", {"http_proxy": "http://proxy:1", "no_proxy": "store.example.com"}, None),
        ("http", {"http_proxy": "http://proxy:1", "no_proxy": "other"}, "http://proxy:1"),
    ],
)
def test_a_proxy_is_the_one_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, scheme: str, named: dict[str, str], proxy: str | None
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    found = account(endpoint_url=f"{scheme}://store.example.com").locate("jobs")
    assert found.proxy == proxy


def test_a_proxy_behind_tls_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.example.com")
    with pytest.raises(StoreDenied, match=r"proxy\.example\.com") as refused:
        account(endpoint_url="https://store.example.com").locate("jobs")
    assert "NO_PROXY" in str(refused.value.hint)


def test_the_bundle_of_authorities_is_boto3s_or_the_one_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert account().ca_bundle == get_cert_path(True)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/ours.pem")
    assert account().ca_bundle == "/etc/ours.pem"


def test_keys_of_the_settings_come_before_the_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    own, others = account().credentials(), Account(Settings()).credentials()
    assert (own.access_key, own.secret_key, own.token) == ("AK", "SK", None)
    assert (others.access_key, others.secret_key, others.token) == ("other", "secret", "token")


def test_half_a_pair_of_keys_in_the_environment_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    with pytest.raises(StoreDenied, match="credentials"):
        Account(Settings())


def test_without_credentials_there_is_no_way_to_a_bucket() -> None:
    bare = Account(Settings())
    with pytest.raises(StoreDenied, match="credentials"):
        bare.locate("jobs")
    with pytest.raises(StoreDenied, match="credentials"):
        bare.credentials()
    with pytest.raises(StoreDenied, match="credentials"):
        bare.presigned_url("jobs", "key", 60)


def test_a_source_of_credentials_that_fails_is_an_unclear_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = Account(Settings())

    def fail() -> None:
        raise ConnectTimeoutError(endpoint_url="http://169.254.169.254")

    monkeypatch.setattr(bare._session, "get_credentials", fail)
    with pytest.raises(OutcomeUnknown, match="ConnectTimeoutError"):
        bare.credentials()
