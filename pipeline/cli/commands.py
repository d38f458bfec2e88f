"""Every command: its name, which is that of its module, and its line in `ryla --help`.

A module is imported when its command is run or asked for its own help. All of them together import
the whole pipeline, which takes most of a second.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "demo": "Run example manifests through the whole pipeline on this machine, and check the"
        " end.",
        "up": "Run store, dispatcher, workers and the HTTP API here until Ctrl-C.",
        "submit": "Send manifests: .json files, a folder of them, or JSONL with one manifest a"
        " line.",
        "plan": "Say what jobs will take: dollars, GPU seconds, time, cold starts. Nothing is"
        " sent.",
        "status": "Show all that waits or is in progress, or where the named jobs are.",
        "watch": "Watch the named jobs until all are finished, or everything in progress until"
        " Ctrl-C.",
        "cancel": "Cancel a job, waiting or running.",
        "stop": "Stop all jobs, those of a tenant or those of a kind, and lift that again; without"
        " a scope, show what is stopped.",
        "sheets": "Character sheets in batches: send, look, review, make again, export.",
        "report": "Sum the results of a time: cost by day, tenant, kind and GPU, and the metrics"
        " of the requirements against their targets.",
        "spend": "What ended jobs have cost today, by tenant, platform, kind and batch, against the"
        " budgets.",
        "results": "Show results; with --out, bring result.json, metrics.json and the outputs"
        " here.",
        "dispatch": "Take jobs from the inbox and run them, in worker processes on this machine or"
        " where RYLA_ENGINE says.",
        "serve": "Serve the HTTP API over the bucket, until Ctrl-C.",
        "events": "Print the events of runs without a PostHog key, from their local file.",
        "schema": "Print JSON Schemas: manifest, result, metrics, sheet, lease, event.",
        "forget": "Delete all that holds or derives from a person's face, or all of a job.",
        "doctor": "Check everything that the pipeline needs, and say how to mend what is amiss.",
        "audit": "Hold the bucket against what the queue promises; it reads, and writes nothing.",
        "deploy": "Deploy the app on Modal; with --check, say what is missing for that and deploy"
        " nothing.",
        "accept": "Drive a deployment through the requirements' own criteria, and write a page of"
        " it.",
        "keys": "Keys of the HTTP API.",
        "faces": "Measure faces.",
        "loras": "LoRA files of the bucket: add, list, show, check, remove.",
        "models": "Weight files: list, plan, verify, pull, add your own, and switch between"
        " versions.",
        "comfyui": "Set ComfyUI up, and see whether one has what the graphs need.",
    }
)


class CommandGroup(TyperGroup):
    """Shows SUMMARIES in its help, and loads the command that is asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, summary in SUMMARIES.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


@cache
def load(name: str) -> Any:
    """The command itself, a TyperCommand or TyperGroup."""
    app = typer.Typer(rich_markup_mode="markdown")
    import_module(f"pipeline.cli.{name}").register(app)
    return get_group(app).commands[name]
