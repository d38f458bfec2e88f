"""What a deployment registered, in the terms of the code that asked for it."""

from dataclasses import dataclass

from tests.support.modal_plane.files import image_lines, shipped
from tests.support.modal_plane.state import App, Function, State
from tests.support.modal_plane.wire import pb


@dataclass(frozen=True)
class RegisteredVolume:
    name: str
    version: int
    read_only: bool


@dataclass(frozen=True)
class RegisteredWeb:
    label: str
    url: str
    requires_proxy_auth: bool


@dataclass(frozen=True)
class RegisteredFunction:
    tag: str
    is_class: bool
    methods: tuple[str, ...]
    gpus: tuple[str, ...]
    cpu_cores: float
    memory_mib: int
    timeout_s: int
    startup_timeout_s: int
    retries: int
    cron: str | None
    min_containers: int
    max_containers: int
    buffer_containers: int
    idle_s: int
    max_inputs: int
    """At once in one container."""
    web: RegisteredWeb | None
    snapshot: bool
    gpu_snapshot: bool
    regions: tuple[str, ...]
    nonpreemptible: bool
    volumes: dict[str, RegisteredVolume]
    """By where it is mounted."""
    secrets: tuple[str, ...]
    """Named ones."""
    env: dict[str, str]
    """Variables of the function itself."""
    files: frozenset[str]
    """Paths in the container of all that is shipped."""
    image: tuple[str, ...]
    """The commands that build it."""


@dataclass(frozen=True)
class RegisteredApp:
    name: str
    tags: dict[str, str]
    functions: dict[str, RegisteredFunction]
    """Functions and classes by name."""
    required_keys: dict[str, set[str]]
    """Named secret -> the keys without which the deploy fails."""


def registered(state: State, app: App) -> RegisteredApp:
    functions = [state.functions[id] for id in app.objects.values() if id.startswith("fu-")]
    return RegisteredApp(
        name=app.name,
        tags=app.tags,
        functions={each.tag: _function(state, each) for each in functions},
        required_keys={each.name: each.required for each in state.secrets.values() if each.name},
    )


def _function(state: State, function: Function) -> RegisteredFunction:
    data, definition = function.data, function.definition
    scaling = definition.autoscaler_settings
    secrets = [state.secrets[id] for id in definition.secret_ids]
    return RegisteredFunction(
        tag=function.tag,
        is_class=data.is_class,
        methods=tuple(sorted(data.method_definitions)),
        gpus=function.gpus,
        cpu_cores=definition.resources.milli_cpu / 1000,
        memory_mib=definition.resources.memory_mb,
        timeout_s=definition.timeout_secs,
        startup_timeout_s=definition.startup_timeout_secs,
        retries=definition.retry_policy.retries,
        cron=definition.schedule.cron.cron_string or None,
        min_containers=scaling.min_containers,
        max_containers=scaling.max_containers,
        buffer_containers=scaling.buffer_containers,
        idle_s=scaling.scaledown_window,
        max_inputs=max(1, definition.max_concurrent_inputs),
        web=_web(data),
        snapshot=definition.checkpointing_enabled,
        gpu_snapshot="enable_gpu_snapshot" in dict(definition.experimental_options),
        regions=tuple(definition.scheduler_placement.regions),
        nonpreemptible=definition.scheduler_placement.nonpreemptible,
        volumes={mount.mount_path: _volume(state, mount) for mount in definition.volume_mounts},
        secrets=tuple(sorted(each.name for each in secrets if each.name)),
        env={
            name: value for each in secrets if not each.name for name, value in each.values.items()
        },
        files=frozenset(shipped(state, function)),
        image=tuple(image_lines(state, definition.image_id)),
    )


def _web(data: pb.FunctionData) -> RegisteredWeb | None:
    config = data.webhook_config
    if not config.type:
        return None
    return RegisteredWeb(config.requested_suffix, data.web_url, config.requires_proxy_auth)


def _volume(state: State, mount: pb.VolumeMount) -> RegisteredVolume:
    volume = state.volumes[mount.volume_id]
    return RegisteredVolume(volume.name, volume.version, mount.read_only)
