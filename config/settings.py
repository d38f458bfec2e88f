"""All settings, in one table. Each is an environment variable: RYLA_ and the field's name."""

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from config.errors import InvalidSetting
from config.nearest import nearest
from config.platforms import Platform
from config.setting_forms import (
    BUCKET,
    DEVICES,
    ENDPOINTS,
    HOST,
    HOSTS,
    IN_WORDS,
    NAMES,
    ORIGINS,
    PLATFORM_LIST,
    PREFIX_IN_BUCKET,
    PUBLIC_HTTPS,
    SIZES,
    TENANT,
    TENANTS,
    URL,
    WORD,
)
from config.validation_errors import first_problem
from config.version import package_version

PREFIX = "RYLA_"
OF_CLIENTS = "RYLA_CLIENT_"
"""What the clients read, who may run in the same environment."""
SECRET = "secret"
WEBHOOK_SECRET = "whsec_"
"""What a secret of Standard Webhooks begins with."""
_R2 = ".r2.cloudflarestorage.com"


def _setting(default: Any, description: str, **limits: Any) -> Any:
    return Field(default=default, description=description, **limits)


def _seconds(default: float, low: float, high: float, description: str) -> Any:
    return _setting(default, description, ge=low, le=high)


Url = Annotated[str, Field(pattern=URL)]
PublicUrl = Annotated[str, Field(pattern=PUBLIC_HTTPS)]
Word = Annotated[str, Field(pattern=WORD)]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Settings(BaseModel):
    """Read once at start and passed on. Durations are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    # The bucket
    bucket: str = _setting("ryla", "Bucket that is the queue.", pattern=BUCKET)
    endpoint_url: Url | None = _setting(
        None,
        "S3 endpoint; unset means AWS. A bucket at its end, as R2 shows it, is dropped.",
    )
    region: Word = _setting("us-east-1", "Region of the bucket; `auto` on R2.")
    access_key_id: Word | None = _setting(
        None, "Access key; unset means boto3's own chain of credentials."
    )
    secret_access_key: Secret | None = _setting(None, "Its secret.")
    addressing_style: Literal["auto", "path", "virtual"] = _setting(
        "auto", "How the bucket is named in requests; `auto` is path where an endpoint is given."
    )

    # Who and where
    environment: Word = _setting("local", "Name of this deployment, in every event.")
    tenant: str = _setting("default", "Tenant that the CLI submits for.", pattern=TENANT)
    app_version: Word = Field(
        default_factory=package_version,
        description="Version in results and events; that of the package.",
    )

    # Leases and retries
    claim_seconds: float = _seconds(60, 1, 3600, "Life of a claim that has not been spawned.")
    spawned_seconds: float = _seconds(900, 1, 86_400, "Life of a job that waits for a worker.")
    running_seconds: float = _seconds(60, 1, 3600, "Life of a running job without a renewal.")
    renew_seconds: float = _seconds(20, 0.1, 1200, "A running job renews its lease this often.")
    first_renew_seconds: float = _seconds(5, 0.1, 1200, "The first renewal comes after this.")
    expiry_margin_seconds: float = _seconds(
        5, 0, 600, "Added to a lease's life before it is taken over."
    )
    max_attempts: int = _setting(
        3, "Executions of a job that may end badly, or be lost while they run.", ge=1, le=20
    )
    backoff_base_seconds: float = _seconds(5, 0, 3600, "Longest wait before the second attempt.")
    backoff_cap_seconds: float = _seconds(300, 0, 86_400, "Longest wait before any attempt.")
    job_timeout_seconds: float = _seconds(600, 1, 86_400, "Longest that one execution may take.")
    retention_days: int | None = _setting(
        None,
        "`ryla forget --expired` forgets jobs that ended longer ago; unset means that none is.",
        ge=1,
        le=3660,
    )
    slice_seconds: float = _seconds(
        300, 1, 86_400, "After it, a character sheet makes room for jobs that wait for its worker."
    )

    # The dispatcher
    poll_active_seconds: float = _seconds(1, 0.05, 60, "Time between ticks while work is known.")
    poll_idle_seconds: float = _seconds(
        15, 0.05, 600, "Time between ticks when idle; with `ryla up` 1 unless set."
    )
    aging_seconds: float = _seconds(
        300, 1, 86_400, "A waiting job gains one priority in this time, up to 9."
    )
    dispatch_threads: int = _setting(8, "Jobs claimed side by side in a tick.", ge=1, le=64)
    max_list_pages: int = _setting(
        50, "Pages of 1000 keys that a tick reads from the inbox at most.", ge=1, le=1000
    )

    local_workers: int = _setting(
        1,
        "Worker processes for each route when they run on this machine; with RYLA_GPUS, for each"
        " of them.",
        ge=1,
        le=64,
    )
    gpus: str = _setting(
        "",
        "GPUs of this machine that workers run on, as `nvidia-smi` counts or names them: `0,1`."
        " Each route has its workers on those that its weights fit. Unset leaves it to ComfyUI,"
        " which takes the first.",
        pattern=DEVICES,
    )
    gpu_memory_gib: str = _setting(
        "",
        "Their memory, `48,24`, in the order of RYLA_GPUS; unset asks `nvidia-smi`, where ComfyUI"
        " is started here.",
        pattern=SIZES,
    )
    gpu_reserve_gib: float = _setting(
        0,
        "Memory of a GPU that a worker leaves to other programs, as ComfyUI's `--reserve-vram`."
        " Workers of several routes that share one leave each other theirs.",
        ge=0,
        le=1000,
    )
    main_memory_gib: float | None = _setting(
        None,
        "Main memory that workers may take; unset asks the system, where ComfyUI is started here"
        " and the memory of a GPU is known.",
        ge=0.1,
        le=100_000,
    )
    forced_routes: str = _setting(
        "",
        "Routes that this machine serves although their weights do not fit its GPUs or its main"
        " memory: ComfyUI then moves them to and fro.",
        pattern=NAMES,
    )

    # ComfyUI
    comfyui_url: Url | None = _setting(None, "A ComfyUI that runs already.")
    comfyui_dir: Path | None = _setting(None, "Folder of a ComfyUI to start.")
    comfyui_python: Path | None = _setting(
        None, "Interpreter that starts it; unset means the one that runs this."
    )
    comfyui_ready_seconds: float = _seconds(120, 1, 3600, "Longest that its start may take.")
    comfyui_forks: bool = _setting(
        False,
        "Whether ComfyUI is imported once, without the GPU, and each start is a fork of that: a"
        " restart then takes a tenth of a second. Not yet run on a GPU.",
    )
    gpu: Word | None = _setting(None, "Row of gpus.toml to bill; unset asks ComfyUI's device.")

    # LoRAs
    lora_prefix: str = _setting(
        "loras/", "Where LoRA files lie in the bucket.", pattern=PREFIX_IN_BUCKET
    )
    lora_dir: Path | None = _setting(
        None, "Folder that keeps LoRAs; unset means loras in the state folder."
    )
    lora_file_mib: int = _setting(2048, "Largest LoRA file that is taken.", ge=1, le=65_536)
    lora_cache_gib: float = _setting(
        50, "Disk that kept LoRAs may take; beyond it the longest unused go.", ge=0.1, le=100_000
    )

    # Policy and pictures from elsewhere
    nsfw_tenants: str = _setting("", "Tenants that may set `nsfw`.", pattern=TENANTS)
    picture_hosts: str = _setting(
        "", "Hosts that `ryla submit` fetches reference pictures from, by https.", pattern=HOSTS
    )

    # Graphs of the callers
    graph_megapixels: int = _setting(
        64, "Largest batch of pictures of a node, in 2**20 pixels.", ge=1, le=4096
    )
    graph_total_megapixels: int = _setting(
        512, "All pictures and masks that a graph makes: 12 MiB of memory each.", ge=1, le=65_536
    )
    graph_samplers: int = _setting(16, "Sampler nodes of a graph.", ge=1, le=200)
    graph_megapixel_steps: int = _setting(
        2000, "All sampling of a graph: 2**20 pixels times steps.", ge=1, le=1_000_000
    )
    graph_seconds: float = _seconds(
        300, 1, 86_400, "Time that a graph may take by its estimate, which counts it as Flux."
    )

    # Weights
    models_dir: Path | None = _setting(
        None, "Folder that `ryla models` fills; unset means models in ComfyUI's folder."
    )
    commercial_use: bool = _setting(
        False, "Whether pictures are sold: weights that do not allow it fail `ryla doctor`."
    )

    # Faces
    faces_dir: Path | None = _setting(
        None,
        "Folder of face packs; unset means insightface/models in the models folder, or faces in the"
        " state folder where there is none.",
    )
    faces_pack: Word | None = _setting(
        None,
        "What scores faces: a pack, or the embedded model `dlib-resnet-v1`. Unset means the pack"
        " auraface-v1 where it is placed, else the embedded model; auraface-mtcnn must be named."
        " Another embedder than InstantID's own.",
    )
    instantid_faces_pack: Word = _setting(
        "antelopev2", "Pack that finds the face to be made anew; without it the scoring one does."
    )
    calibration_file: Path | None = _setting(
        None,
        "What `ryla faces calibrate` measured; unset: <pack>.calibration.json beside the packs,"
        " else what comes with the embedded model.",
    )

    # Tables
    models_file: Path | None = _setting(None, "TOML laid over the packaged models.toml.")
    routes_file: Path | None = _setting(None, "TOML laid over the packaged routes.toml.")
    budgets_file: Path | None = _setting(
        None, "TOML laid over the packaged budgets.toml, which bounds nothing."
    )
    gpus_file: Path | None = _setting(None, "TOML laid over the packaged gpus.toml.")

    # Events
    posthog_api_key: Secret | None = _setting(
        None, "Project key; unset writes events to a file instead."
    )
    posthog_host: Url = _setting("https://us.i.posthog.com", "Where PostHog takes events.")
    posthog_timeout_seconds: float = _seconds(10, 0.1, 120, "Longest that one delivery may take.")
    event_tries: int = _setting(
        12,
        "Times a result's events and callback are tried before they are given up.",
        ge=1,
        le=1000,
    )
    events_file: Path | None = _setting(
        None, "File for events when there is no key; unset means events.jsonl in the state folder."
    )

    # HTTP
    api_host: str = _setting("127.0.0.1", "Address that `ryla serve` listens on.", pattern=HOST)
    api_port: int = _setting(8787, "Port that it listens on; 0 takes a free one.", ge=0, le=65_535)
    api_keys: Secret | None = _setting(
        None,
        "Keys by tenant, `tenant:sha256` with commas between; `ryla keys new TENANT` makes one."
        " Without any, only this machine may ask, as RYLA_TENANT.",
    )
    api_requests_per_minute: int = _setting(
        600, "Requests that a tenant may make in a minute, in one process.", ge=1, le=1_000_000
    )
    api_jobs_per_tenant: int = _setting(
        1000, "Jobs of a tenant that may wait or run before HTTP takes no more.", ge=1, le=1_000_000
    )
    api_body_mib: int = _setting(32, "Largest request body.", ge=1, le=1024)
    cors_origins: str = _setting("", "Origins whose pages may ask from a browser.", pattern=ORIGINS)
    presign_seconds: int = _setting(
        0,
        "Life of the signed URLs that outputs redirect to; 0 sends outputs itself.",
        ge=0,
        le=86_400,
    )
    doorbell_token: Secret | None = _setting(
        None, "The last part of the doorbell's path; unset means no doorbell."
    )

    # Telling the producer
    callback_hosts: str = _setting(
        "", "Hosts that `callback_url` may name, by https.", pattern=HOSTS
    )
    callback_secret: Secret | None = _setting(
        None,
        "Signs callbacks, best as `whsec_` and base64; without it `callback_url` is refused.",
    )
    callback_timeout_seconds: float = _seconds(10, 0.1, 60, "Longest that one callback may take.")
    alarm_url: PublicUrl | None = _setting(
        None,
        "Where dispatchers tell that a share of a budget is spent, for budgets that name no address"
        " of their own; signed as callbacks are.",
    )

    # Modal
    engine: Platform = _setting(
        "local",
        "What runs the jobs of this bucket: workers of this machine, the Modal app, or RunPod's"
        " endpoints.",
    )
    platforms: str = _setting(
        "",
        "Platforms that this dispatcher can send jobs to, with commas, where routes name several;"
        " unset means that of RYLA_ENGINE alone.",
        pattern=PLATFORM_LIST,
    )
    modal_app: Word = _setting("ryla", "Name of the deployed app that the Modal engine calls.")
    modal_environment: Word | None = _setting(
        None, "Modal environment that it is deployed in; unset means the workspace's default."
    )

    modal_domains: str = _setting(
        "",
        "Domains of your own at which the API on Modal answers; they need a Team plan, and records"
        " in DNS.",
        pattern=HOSTS,
    )
    modal_api_min_containers: int = _setting(
        0, "Containers of the API on Modal that are kept, and paid for, all the time.", ge=0, le=4
    )

    # RunPod
    runpod_api_key: Secret | None = _setting(
        None, "Key of the account, by which jobs are sent to its endpoints."
    )
    runpod_endpoints: str = _setting(
        "",
        "The endpoint of each route, `Flux=abc123`, and of a route's larger GPU where it has one of"
        " its own, `Flux@H100=def456`.",
        pattern=ENDPOINTS,
    )
    runpod_url: Url = _setting("https://api.runpod.ai/v2", "Where RunPod's endpoints are.")
    runpod_route: Word | None = _setting(
        None, "In the environment of an endpoint: the route whose jobs its workers run."
    )

    # This machine
    state_dir: Path = _setting(Path(".ryla"), "Folder in which `ryla up` keeps its state.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least level shown.")
    log_format: Literal["console", "json"] = _setting("console", "How log lines are written.")

    @model_validator(mode="after")
    def _bucket_is_no_path(self) -> Self:
        """R2 shows the endpoint with the bucket behind it, which would then stand there twice."""
        at, _, last = (self.endpoint_url or "").rstrip("/").rpartition("/")
        if last == self.bucket and at.count("/") >= 2:
            object.__setattr__(self, "endpoint_url", at)
        elif at.count("/") == 2 and urlsplit(at).netloc.endswith(_R2):
            raise ValueError(
                f"RYLA_ENDPOINT_URL ends in {last!r}, which is not RYLA_BUCKET, {self.bucket!r}:"
                f" write {at}"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for wrong, why in (
            (
                self.renew_seconds * 2 >= self.running_seconds,
                "RYLA_RENEW_SECONDS must be less than half of RYLA_RUNNING_SECONDS",
            ),
            (
                self.first_renew_seconds > self.renew_seconds,
                "RYLA_FIRST_RENEW_SECONDS must not exceed RYLA_RENEW_SECONDS",
            ),
            (
                self.backoff_base_seconds > self.backoff_cap_seconds,
                "RYLA_BACKOFF_BASE_SECONDS must not exceed RYLA_BACKOFF_CAP_SECONDS",
            ),
            (
                self.poll_active_seconds > self.poll_idle_seconds,
                "RYLA_POLL_ACTIVE_SECONDS must not exceed RYLA_POLL_IDLE_SECONDS",
            ),
            (
                not _is_webhook_secret(self.callback_secret),
                "RYLA_CALLBACK_SECRET begins with whsec_, so that base64 must follow",
            ),
            (
                self.alarm_url is not None and self.callback_secret is None,
                "RYLA_ALARM_URL needs RYLA_CALLBACK_SECRET, which signs what is sent there",
            ),
            (
                (self.access_key_id is None) != (self.secret_access_key is None),
                "RYLA_ACCESS_KEY_ID and RYLA_SECRET_ACCESS_KEY are set together or not at all",
            ),
            (
                bool(memories(self)) and len(memories(self)) != max(1, len(devices(self))),
                "RYLA_GPU_MEMORY_GIB has a number for each GPU of RYLA_GPUS, or one without it",
            ),
            (
                self.comfyui_url is not None and self.comfyui_dir is not None,
                "RYLA_COMFYUI_URL names a running ComfyUI, RYLA_COMFYUI_DIR one to start: set one",
            ),
        ):
            if wrong:
                raise ValueError(why)
        return self

    def environ(self) -> dict[str, str]:
        """The variables that recreate these settings in a child process. Holds the secrets."""
        fields = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {variable(name): _text(value) for name, value in fields if value is not None}


def changed(settings: Settings, **values: Any) -> Settings:
    """A copy with these fields set. Raises ValidationError for a value out of range."""
    return Settings.model_validate(settings.model_dump(exclude_unset=True) | values)


def listed(value: str) -> frozenset[str]:
    """The names in a setting that holds several, in lower case."""
    return frozenset(name.strip().lower() for name in value.split(",") if name.strip())


def endpoints(settings: Settings) -> dict[str, str]:
    """Route, or route@GPU → RunPod's endpoint of it."""
    pairs = (each.strip() for each in settings.runpod_endpoints.split(","))
    return dict(each.split("=", 1) for each in pairs if each)


def devices(settings: Settings) -> tuple[str, ...]:
    """The GPUs of this machine that workers run on, in order; none where it is left to CUDA."""
    return tuple(each.strip() for each in settings.gpus.split(",") if each.strip())


def memories(settings: Settings) -> tuple[float, ...]:
    """GiB of the GPUs of `devices`, in order; none where nobody states them."""
    return tuple(float(each) for each in settings.gpu_memory_gib.split(",") if each.strip())


def forced(settings: Settings) -> frozenset[str]:
    """Names of routes; they have capitals."""
    return frozenset(each.strip() for each in settings.forced_routes.split(",") if each.strip())


def webhook_key(settings: Settings) -> bytes:
    """What callbacks are signed with. Empty without RYLA_CALLBACK_SECRET."""
    secret = settings.callback_secret
    return b"" if secret is None else _webhook_key(secret.get_secret_value())


def _webhook_key(secret: str) -> bytes:
    encoded = secret.removeprefix(WEBHOOK_SECRET)
    return secret.encode() if encoded == secret else b64decode(encoded, validate=True)


def _is_webhook_secret(secret: SecretStr | None) -> bool:
    try:
        return secret is None or bool(_webhook_key(secret.get_secret_value()))
    except ValueError:
        return False


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read RYLA_* out of an environment; an empty variable counts as unset.

    Raises InvalidSetting for a value out of range, and for a RYLA_* variable that is no setting.
    """
    known = {variable(name): name for name in Settings.model_fields}
    values: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name.startswith(OF_CLIENTS):
            continue
        if name not in known:
            close = nearest(name.lower(), [each.lower() for each in known])
            raise InvalidSetting(
                f"{name} is no setting",
                field=name,
                hint=f"Did you mean {close.upper()}?" if close else "docs/settings.md lists them.",
            )
        if value.strip():
            values[known[name]] = value
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidSetting:
    problem = first_problem(error)
    if not problem.path:
        return InvalidSetting(problem.message)
    name = problem.path[0]
    value = "(secret)" if allowed(name) == SECRET else problem.value
    return InvalidSetting(
        f"{variable(name)} = {value!r}: {problem.message}",
        field=variable(name),
        value=value,
        hint=f"Allowed: {allowed(name)}.",
    )


def allowed(name: str) -> str:
    """The values that a field takes, in words: its range, its choices or its form."""
    schema = Settings.model_json_schema()["properties"][name]
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "minimum" in schema:
        whole = ", whole" if schema["type"] == "integer" else ""
        return f"{schema['minimum']:g} to {schema['maximum']:g}{whole}"
    if schema["type"] == "boolean":
        return "true, false"
    if schema.get("format") in ("password", "path"):
        return {"password": SECRET, "path": "path"}[schema["format"]]
    return IN_WORDS[schema["pattern"]]
