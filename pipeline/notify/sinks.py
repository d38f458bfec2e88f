"""Where events go: to PostHog with a key, to a file without one."""

from pathlib import Path

from config.settings import Settings
from events.file_sink import FileSink
from events.sink import EventSink


def events_file(settings: Settings) -> Path:
    """The setting's, else events.jsonl in the state folder."""
    return settings.events_file or settings.state_dir / "events.jsonl"


def make_sink(settings: Settings) -> EventSink:
    if settings.posthog_api_key is None:
        return FileSink(events_file(settings))
    from events.posthog_sink import PostHogSink  # noqa: PLC0415  its SDK takes 0.5 s to import

    return PostHogSink(
        settings.posthog_api_key.get_secret_value(),
        settings.posthog_host,
        timeout_s=settings.posthog_timeout_seconds,
    )
