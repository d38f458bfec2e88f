import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from config.errors import StoreDenied
from config.settings import Settings
from pipeline.store.base import ALWAYS
from pipeline.store.s3 import S3Store
from pipeline.store.s3_client import Location
from pipeline.store.s3_requests import Request, S3Requests, signed, wall_clock
from tests.support.flaky_proxy import Answer, FlakyProxy, always, first

URL_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEADER_TEXT = st.text("abcXYZ019 -_./+*", max_size=20)


# Signatures


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    key=URL_TEXT,
    query=st.dictionaries(st.sampled_from(["list-type", "prefix", "start-after"]), URL_TEXT),
    headers=st.dictionaries(
        st.sampled_from(["content-type", "if-match", "range", "content-md5"]), HEADER_TEXT
    ),
    body=st.none() | st.binary(max_size=20),
    token=st.none() | st.just("t/o+k=n"),
    scheme=st.sampled_from(["http", "https"]),
    path=st.sampled_from(["", "/bucket", "/s3/bucket"]),
)
def test_a_signature_is_the_one_that_botocore_makes(
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes | None,
    token: str | None,
    scheme: str,
    path: str,
) -> None:
    request = Request(method, key, query, headers, body)
    location = Location(scheme, "store.example.com:8333", path, "eu-west-1", "agent", None)
    credentials = ReadOnlyCredentials("AK", "SK", token, None)
    sent = signed(request, location, credentials, NOW)
    assert sent.headers.pop("user-agent") == "agent"
    assert sent.headers.pop("accept-encoding") == "identity"
    authorization = sent.headers.pop("authorization")
    if body and scheme == "https" and "content-md5" in headers:
        assert sent.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    else:
        expected = S3SigV4Auth(credentials, "s3", "eu-west-1").payload(
            AWSRequest(method, location.origin, data=body)
        )
        assert sent.headers["x-amz-content-sha256"] == expected
    signer = S3SigV4Auth(credentials, "s3", "eu-west-1")
    theirs = AWSRequest(method, location.origin + sent.target, dict(sent.headers), body)
    theirs.context["timestamp"] = sent.headers["x-amz-date"]
    to_sign = signer.string_to_sign(theirs, signer.canonical_request(theirs))
    signer._inject_signature_to_request(theirs, signer.signature(to_sign, theirs))  # type: ignore[attr-defined]
    assert authorization == theirs.headers["Authorization"]
    assert sent.headers.get("x-amz-security-token") == token


# Another region


@pytest.fixture
def store() -> Iterator[FlakyProxy]:
    """Only says what it is told to."""
    with FlakyProxy() as proxy:
        yield proxy


def settings_at(store: FlakyProxy) -> Settings:
    keys = {"access_key_id": "AK", "secret_access_key": "SK"}
    return Settings.model_validate({"endpoint_url": store.url, "bucket": "jobs", **keys})


def scopes(store: FlakyProxy) -> list[str]:
    """Regions that the requests were signed for."""
    return [headers["authorization"].split("/")[2] for headers in store.headers]


NO_SUCH_KEY = Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
WRONG = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"
PERMANENT = b"<Error><Code>PermanentRedirect</Code></Error>"
MOVED = {"x-amz-bucket-region": "eu-west-1"}


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(Answer(301, PERMANENT, MOVED), id="301"),
        pytest.param(Answer(307, b"", MOVED), id="307"),
        pytest.param(Answer(400, WRONG), id="told in the body"),
    ],
)
def test_a_bucket_in_another_region_is_found_there_from_then_on(
    store: FlakyProxy, refusal: Answer
) -> None:
    store.plan = first("PUT", refusal, Answer(200, b"", {"etag": "e"}))
    bucket = S3Store(settings_at(store))
    assert bucket.put("key", b"body", ALWAYS).etag == "e"
    store.plan = always(NO_SUCH_KEY)
    assert bucket.get("key") is None
    assert [method for method, _ in store.seen] == ["PUT", "PUT", "GET"]
    assert scopes(store) == ["us-east-1", "eu-west-1", "eu-west-1"]
    assert "/eu-west-1/" in bucket.presigned_url("key", 60).replace("%2F", "/")


def test_a_store_that_sends_us_in_circles_is_asked_twice(store: FlakyProxy) -> None:
    regions = iter(["eu-west-1", "us-east-1", "eu-west-1"])
    store.plan = lambda method, path: Answer(301, b"", {"x-amz-bucket-region": next(regions)})
    with pytest.raises(StoreDenied, match="elsewhere"):
        S3Store(settings_at(store)).get("key")
    assert len(store.seen) == 2


def test_a_bucket_that_is_elsewhere_without_a_word_where_is_a_refusal(store: FlakyProxy) -> None:
    store.plan = always(Answer(301, PERMANENT))
    with pytest.raises(StoreDenied, match="GetObject: 301 PermanentRedirect") as refused:
        S3Store(settings_at(store)).get("key")
    assert "RYLA_REGION" in str(refused.value.hint)
    assert len(store.seen) == 1


# Credentials


def test_credentials_that_expire_are_renewed(
    store: FlakyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        "import datetime, json, pathlib\n"
        "count = pathlib.Path(__file__).with_suffix('.count')\n"
        "number = len(count.read_bytes()) if count.exists() else 0\n"
        "count.write_bytes(b'.' * (number + 1))\n"
        "soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'AK{number}', 'SecretAccessKey': 's',"
        " 'SessionToken': f'token{number}', 'Expiration': soon.isoformat()}))\n"
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {source}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    store.plan = always(NO_SUCH_KEY)
    bucket = S3Store(Settings(endpoint_url=store.url))
    for _ in range(2):
        assert bucket.get("key") is None
    keys = [headers["authorization"].split("Credential=")[1][:3] for headers in store.headers]
    tokens = [headers["x-amz-security-token"] for headers in store.headers]
    assert len({*keys}) == len({*tokens}) == 2
    assert [key.replace("AK", "token") for key in keys] == tokens


def test_no_request_is_made_before_the_first_call(store: FlakyProxy) -> None:
    S3Requests(settings_at(store), pool=1, read_timeout_s=1)
    assert store.seen == []


# A clock that is off


@pytest.mark.parametrize("hours", [-30, 5])
def test_a_machine_whose_clock_is_off_signs_by_the_stores_once_that_has_refused_its_own(
    bucket: Settings, hours: int
) -> None:
    off: list[datetime] = []

    def clock() -> datetime:
        off.append(wall_clock() + timedelta(hours=hours))
        return off[-1]

    requests = S3Requests(bucket, pool=1, read_timeout_s=10, clock=clock)
    listing = Request("GET", query={"list-type": "2"})
    assert requests.send(listing).status == 200
    asked = len(off)
    assert requests.send(Request("PUT", "key", body=b"body")).status == 200
    assert len(off) - asked == 1, "it is not refused again"


SKEWED = b"<Error><Code>RequestTimeTooSkewed</Code></Error>"


@pytest.mark.parametrize("body", [SKEWED, b"<Error><Code>AccessDenied</Code></Error>"])
def test_a_refusal_is_asked_about_again_once_and_only_where_it_is_for_the_time(
    store: FlakyProxy, body: bytes
) -> None:
    store.plan = always(Answer(403, body))
    with pytest.raises(StoreDenied):
        S3Store(settings_at(store)).get("key")
    assert len(store.seen) == (2 if body == SKEWED else 1)
