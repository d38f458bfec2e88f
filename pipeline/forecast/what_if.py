"""How routes would be otherwise: `gpus=H100,idle_s=30`, for all routes or for one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from config.errors import InvalidInput, InvalidSetting
from config.platforms import PLATFORMS
from config.routes import Route, RouteTable
from pipeline.runtime import RuntimeConfig

FLAG = "--what-if"
LISTS = ("gpus", "platforms")
FIELDS = (
    *LISTS,
    *("idle_s", "max_containers", "max_in_flight", "overflow_after_s", "down_after_s"),
)
"""Of a route."""
PLATFORM = "platform"
EXAMPLE = "gpus=H100,idle_s=30,max_containers=4; one route's: Flux.gpus=H100+H200"


@dataclass(frozen=True)
class WhatIf:
    text: str
    """As it was asked."""
    changes: Mapping[str | None, Mapping[str, Any]]
    """Fields by route; None stands for all routes."""
    platform: str | None = None
    """Where all routes run, whatever they name."""

    def apply(self, runtime: RuntimeConfig) -> RuntimeConfig:
        """`runtime` is of this platform, if one is given. On this machine `max_containers` are
        worker processes of each route. Raises InvalidInput for what a route cannot have."""
        for route in self.changes:
            if route is not None and route not in runtime.routes.routes:
                hint = f"Routes: {', '.join(runtime.routes.routes)}."
                raise _wrong(f"no route is named {route!r}", self.text, hint)
        routes = {
            name: self._changed(route, runtime) for name, route in runtime.routes.routes.items()
        }
        workers = self.changes.get(None, {}).get("max_containers", runtime.settings.local_workers)
        return replace(
            runtime,
            routes=RouteTable(routes=routes),
            # A route has taken it as a whole number, of which `4.0` is one.
            settings=runtime.settings.model_copy(update={"local_workers": int(float(workers))}),
        )

    def _changed(self, route: Route, runtime: RuntimeConfig) -> Route:
        fields = {**self.changes.get(None, {}), **self.changes.get(route.name, {})}
        try:
            for name in fields.get("gpus", ()):
                runtime.gpus.gpu(name)
            for name in fields.get("platforms", ()):
                check_platform(name)
            return Route.model_validate({**route.model_dump(), **fields})
        except InvalidSetting as error:
            raise _wrong(error.message, self.text, error.hint) from None
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise _wrong(what, self.text, f"Write {EXAMPLE}.") from None


def what_if(text: str) -> WhatIf:
    """Raises InvalidInput for what cannot be read."""
    changes: dict[str | None, dict[str, Any]] = {}
    platform = None
    for part in text.split(","):
        name, is_given, value = (each.strip() for each in part.partition("="))
        route, _, field = name.rpartition(".")
        if not is_given or not value or field not in (*FIELDS, PLATFORM):
            known = ", ".join((*FIELDS, PLATFORM))
            raise _wrong(
                f"{part.strip()!r} is no change of a route", text, f"Known: {known}. {EXAMPLE}."
            )
        if field == PLATFORM:
            platform = check_platform(value)
        else:
            changes.setdefault(route or None, {})[field] = _value(field, value)
    return WhatIf(text, changes, platform)


def check_platform(name: str, field: str = FLAG) -> str:
    """Raises InvalidInput for a name of no platform."""
    if name not in PLATFORMS:
        raise InvalidInput(
            f"no platform is named {name!r}",
            field=field,
            value=name,
            hint=f"Known: {', '.join(PLATFORMS)}.",
        )
    return name


def _value(field: str, value: str) -> Any:
    return tuple(value.split("+")) if field in LISTS else value


def _wrong(message: str, value: str, hint: str | None) -> InvalidInput:
    return InvalidInput(message, field=FLAG, value=value, hint=hint)
