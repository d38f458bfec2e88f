"""Workers as containers of the deployed Modal app. With comfyui_ryla.py, all that imports modal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cache
from threading import Thread
from typing import Any, Literal, TypeVar

import modal
import modal.config
import structlog

from config.errors import EngineUnavailable
from config.settings import Settings
from pipeline.queue.spawn import SpawnPayload

SPAWN_S = 10.0
"""Longest that a job waits to be spawned, which takes a fraction of a second. All jobs of a tick
wait for the slowest; the client itself gives up after a minute, or never if nothing answers."""


def has_token() -> bool:
    """Whether this machine has a token, which Modal need not take. No request is made."""
    settings = modal.config.config
    return bool(settings.get("token_id") and settings.get("token_secret"))


class ModalEngine:
    """Spawns, and forgets: the lease tells how a job fares. Usable from any thread. `spawn_s`
    bounds a submit."""

    def __init__(self, settings: Settings, *, spawn_s: float = SPAWN_S) -> None:
        """No request is made yet."""
        self._spawn_s = spawn_s
        self._app = settings.modal_app
        self._environment = settings.modal_environment
        handle = cache(self._find)
        self._handle: Callable[[str, str | None], Any] = handle
        self._forget_handles = handle.cache_clear

    def submit(self, route: str, payload: SpawnPayload) -> str:
        """Raises EngineUnavailable when Modal takes no call, or has not answered within
        `spawn_s`."""

        def spawn() -> str:
            given = payload.model_dump(mode="json")
            call: modal.FunctionCall[Any] = self._handle(route, payload.gpu).run.spawn(given)
            return call.object_id

        try:
            # One that goes through later finds its lease handed back, and ends at once.
            return _within(self._spawn_s, spawn)
        except (modal.exception.Error, OSError) as error:
            self._forget_handles()  # a deploy may have put another class in its place, or none
            raise self._unavailable(route, error) from error

    def cancel(self, call_id: str) -> None:
        """Best effort: a call that is unknown, or over, is none."""
        with suppress(modal.exception.Error, OSError):
            modal.FunctionCall.from_id(call_id).cancel()

    def close(self) -> Sequence[SpawnPayload]:
        """Nothing is held."""
        return ()

    def _find(self, route: str, gpu: str | None) -> Any:
        found = modal.Cls.from_name(self._app, route, environment_name=self._environment)
        # A variant has a pool of containers of its own, so there is one a GPU and no more.
        return (found if gpu is None else found.with_options(gpu=gpu))()

    def _unavailable(self, route: str, error: Exception) -> EngineUnavailable:
        structlog.get_logger(__name__).warning("not_spawned", route=route, error=str(error))
        return EngineUnavailable(
            f"Modal takes no job for {self._app}.{route}: {type(error).__name__}: {error}",
            hint="`modal app list` shows whether it is deployed; `ryla deploy` does that.",
        )


T = TypeVar("T")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Raises what the call raises, and TimeoutError while it goes on in a thread of its own."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except Exception as error:  # noqa: BLE001  whoever waits gets it
            done.set_exception(error)

    Thread(target=work, name="spawn", daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer within {seconds:g} s") from None


ABSENT_OR_OTHER = (modal.exception.NotFoundError, modal.exception.InvalidError)
"""There is no such thing, or it is not as it was asked for."""


class ModalAccount:
    """What the platform tells of an account. Every method raises EngineUnavailable."""

    def __init__(self, environment: str | None) -> None:
        """`environment` is one of Modal's; None is the workspace's default."""
        self._environment = environment

    def reach(self) -> None:
        """Raises EngineUnavailable where no token is there, or none that is taken."""
        with _asked("the account"):
            modal.Client.from_env().hello()

    def lacks(self, secret: str, keys: Sequence[str]) -> tuple[str, ...] | None:
        """Of these keys, those that a secret has not; None when there is no such secret."""
        try:
            self._secret(secret, keys)
        except modal.exception.NotFoundError:
            return None
        except modal.exception.InvalidError:
            return tuple(key for key in keys if not self._has(secret, key))
        return ()

    def _has(self, secret: str, key: str) -> bool:
        try:
            self._secret(secret, [key])
        except modal.exception.InvalidError:
            return False
        return True

    def _secret(self, name: str, keys: Sequence[str]) -> None:
        with _asked(f"the secret {name}", *ABSENT_OR_OTHER):
            modal.Secret.from_name(
                name, environment_name=self._environment, required_keys=list(keys)
            ).hydrate()

    def has_volume(self, name: str, version: Literal[1, 2]) -> bool:
        """False when there is none. One of another version is an error."""
        try:
            with _asked(f"the volume {name}", *ABSENT_OR_OTHER):
                self._volume(name, version).hydrate()
        except modal.exception.NotFoundError:
            return False
        except modal.exception.InvalidError as error:
            raise EngineUnavailable(str(error)) from error
        return True

    def files(self, volume: str, version: Literal[1, 2]) -> Mapping[str, int]:
        """Path → bytes of everything in a volume."""
        with _asked(f"the files of {volume}"):
            entries = self._volume(volume, version).listdir("/", recursive=True)
            return {entry.path.lstrip("/"): entry.size for entry in entries}

    def _volume(self, name: str, version: Literal[1, 2]) -> modal.Volume:
        return modal.Volume.from_name(name, environment_name=self._environment, version=version)


@contextmanager
def _asked(what: str, *passed: type[Exception]) -> Iterator[None]:
    """Errors of the platform as ours, but for those that are `passed`."""
    try:
        yield
    except passed:
        raise
    except modal.exception.AuthError as error:
        raise EngineUnavailable(
            "no token, or none that Modal takes",
            hint="`modal token new` makes one; where no browser is, set MODAL_TOKEN_ID and"
            " MODAL_TOKEN_SECRET.",
        ) from error
    except (modal.exception.Error, OSError) as error:
        raise EngineUnavailable(
            f"Modal does not tell of {what}: {type(error).__name__}: {error}"
        ) from error
