import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from config.errors import InvalidSetting
from config.settings import Settings, allowed, changed, devices, endpoints, load_settings, variable

KEYS = {"RYLA_ACCESS_KEY_ID": "AKIA1", "RYLA_SECRET_ACCESS_KEY": "hush-hush"}


def test_nothing_set_gives_the_defaults() -> None:
    settings = load_settings({"PATH": "/bin", "AWS_REGION": "eu-west-1"})

    assert settings == Settings()
    assert (settings.region, settings.claim_seconds, settings.running_seconds) == (
        "us-east-1",
        60,
        60,
    )
    assert settings.endpoint_url is None
    assert settings.state_dir == Path(".ryla")


def test_values_are_read_as_what_they_are() -> None:
    settings = load_settings(
        {
            **KEYS,
            "RYLA_ENDPOINT_URL": "http://127.0.0.1:8333",
            "RYLA_RUNNING_SECONDS": "2.5",
            "RYLA_RENEW_SECONDS": "1",
            "RYLA_FIRST_RENEW_SECONDS": "0.5",
            "RYLA_MAX_ATTEMPTS": " 5 ",
            "RYLA_GPUS_FILE": "/etc/gpus.toml",
            "RYLA_LOG_FORMAT": "json",
        }
    )

    assert settings.running_seconds == 2.5
    assert settings.max_attempts == 5
    assert settings.gpus_file == Path("/etc/gpus.toml")
    assert settings.secret_access_key == SecretStr("hush-hush")


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_settings({"RYLA_ENDPOINT_URL": "", "RYLA_MAX_ATTEMPTS": " "}) == Settings()


def test_what_the_clients_read_is_left_alone() -> None:
    environ = {"RYLA_CLIENT_URL": "http://127.0.0.1:8787", "RYLA_CLIENT_KEY": "ryla_x"}

    assert load_settings(environ) == Settings()


def test_an_unknown_variable_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings({"RYLA_ENDPIONT_URL": "http://x"})

    assert caught.value.field == "RYLA_ENDPIONT_URL"
    assert caught.value.hint == "Did you mean RYLA_ENDPOINT_URL?"


@pytest.mark.parametrize("name", ["RYLA_", "RYLA_bucket", "RYLA_ZZZZZZZZ"])
def test_only_the_exact_names_are_known(name: str) -> None:
    with pytest.raises(InvalidSetting, match="is no setting"):
        load_settings({name: "x"})


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("RYLA_MAX_ATTEMPTS", "0", "1 to 20, whole"),
        ("RYLA_MAX_ATTEMPTS", "2.5", "1 to 20, whole"),
        ("RYLA_RUNNING_SECONDS", "soon", "1 to 3600"),
        ("RYLA_RUNNING_SECONDS", "nan", "1 to 3600"),
        ("RYLA_BACKOFF_CAP_SECONDS", "inf", "0 to 86400"),
        ("RYLA_LOG_FORMAT", "xml", "console, json"),
        ("RYLA_ENDPOINT_URL", "localhost:8333", "http(s) URL"),
        ("RYLA_BUCKET", "My_Bucket", "3 to 63"),
        ("RYLA_TENANT", "a.b", "1 to 63"),
    ],
)
def test_a_bad_value_names_variable_value_and_what_is_allowed(
    name: str, value: str, range_: str
) -> None:
    with pytest.raises(InvalidSetting) as caught:
        load_settings({name: value})

    assert name in caught.value.message
    assert repr(value) in caught.value.message
    assert caught.value.field == name
    assert range_ in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"RYLA_RENEW_SECONDS": "30"}, "RYLA_RENEW_SECONDS"),
        ({"RYLA_RUNNING_SECONDS": "40"}, "RYLA_RUNNING_SECONDS"),
        ({"RYLA_FIRST_RENEW_SECONDS": "21"}, "RYLA_FIRST_RENEW_SECONDS"),
        ({"RYLA_BACKOFF_BASE_SECONDS": "301"}, "RYLA_BACKOFF_CAP_SECONDS"),
        ({"RYLA_POLL_ACTIVE_SECONDS": "16"}, "RYLA_POLL_IDLE_SECONDS"),
        ({"RYLA_ACCESS_KEY_ID": "AKIA1"}, "RYLA_SECRET_ACCESS_KEY"),
        (
            {"RYLA_COMFYUI_URL": "http://127.0.0.1:8188", "RYLA_COMFYUI_DIR": "/comfy"},
            "RYLA_COMFYUI_DIR",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    environ: dict[str, str], named: str
) -> None:
    with pytest.raises(InvalidSetting, match=named):
        load_settings(environ)


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = load_settings({**KEYS, "RYLA_POSTHOG_API_KEY": "phc_key"})

    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hush-hush" not in text
        assert "phc_key" not in text


def test_the_environment_for_children_holds_them() -> None:
    environ = load_settings({**KEYS, "RYLA_POSTHOG_API_KEY": "phc_key"}).environ()

    assert environ["RYLA_SECRET_ACCESS_KEY"] == "hush-hush"
    assert environ["RYLA_POSTHOG_API_KEY"] == "phc_key"
    assert "RYLA_ENDPOINT_URL" not in environ


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,30}", fullmatch=True)
paths = st.none() | printable.map(Path)


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "bucket": st.from_regex(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", fullmatch=True),
            "endpoint_url": st.none() | st.integers(1, 65535).map("http://[::1]:{}".format),
            "region": words,
            "addressing_style": st.sampled_from(["auto", "path", "virtual"]),
            "environment": words,
            "app_version": words,
            "claim_seconds": st.floats(1, 3600),
            "running_seconds": st.floats(41, 3600),
            "renew_seconds": st.floats(5, 20),
            "expiry_margin_seconds": st.floats(0, 600),
            "max_attempts": st.integers(1, 20),
            "comfyui_dir": paths,
            "gpu": st.none() | words,
            "models_file": paths,
            "posthog_api_key": st.none() | printable.map(SecretStr),
            "event_tries": st.integers(1, 1000),
            "log_level": st.sampled_from(["debug", "info", "warning", "error"]),
        },
    ),
    secret=st.none() | printable,
)
def test_a_child_started_with_the_environment_reads_the_same_settings(
    fields: dict[str, object], secret: str | None
) -> None:
    if secret is not None:
        fields |= {"access_key_id": "key", "secret_access_key": SecretStr(secret)}
    settings = Settings.model_validate(fields)

    environ = settings.environ()

    assert load_settings(environ) == settings
    for name, value in environ.items():  # what a process can be given
        os.fsencode(name + value)
        assert "\0" not in value


def test_every_setting_has_a_description_and_a_range_in_words() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert allowed(name), name
        assert variable(name) == f"RYLA_{name.upper()}"


def test_a_changed_copy_is_held_to_the_same_limits() -> None:
    settings = changed(Settings(bucket="pictures"), local_workers=3)

    assert (settings.bucket, settings.local_workers) == ("pictures", 3)
    with pytest.raises(ValidationError):
        changed(settings, local_workers=65)


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://acc.r2.cloudflarestorage.com/pictures", "https://acc.r2.cloudflarestorage.com"),
        ("https://acc.r2.cloudflarestorage.com/pictures/", "https://acc.r2.cloudflarestorage.com"),
        ("http://pictures", "http://pictures"),
        ("https://proxy.example/s3/pictures", "https://proxy.example/s3"),
        ("https://proxy.example/s3/", "https://proxy.example/s3/"),
        ("https://acc.r2.cloudflarestorage.com/", "https://acc.r2.cloudflarestorage.com/"),
    ],
)
def test_a_bucket_at_the_end_of_the_endpoint_is_dropped(url: str, known: str) -> None:
    assert Settings(bucket="pictures", endpoint_url=url).endpoint_url == known


def test_another_bucket_at_the_end_of_an_endpoint_of_r2_is_refused() -> None:
    with pytest.raises(ValidationError, match="'other', which is not RYLA_BUCKET"):
        Settings(endpoint_url="https://acc.r2.cloudflarestorage.com/other")


@pytest.mark.parametrize(
    ("given", "found"), [("", ()), ("0", ("0",)), ("0, 1 ,GPU-4f", ("0", "1", "GPU-4f"))]
)
def test_gpus_are_named_in_order(given: str, found: tuple[str, ...]) -> None:
    assert devices(Settings(gpus=given)) == found


def test_an_endpoint_is_named_for_a_route_or_for_a_larger_gpu_of_it() -> None:
    named = Settings(runpod_endpoints="Flux=abc123, Flux@H100=def456")
    assert endpoints(named) == {"Flux": "abc123", "Flux@H100": "def456"}
    for wrong in ("Flux", "=abc", "Flux=abc=def"):
        with pytest.raises(ValidationError):
            Settings(runpod_endpoints=wrong)
