"""`ryla cancel`."""

import os
import socket
from typing import Annotated

import typer

from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.keys import check_id
from pipeline.jobs.cancel import Canceller
from pipeline.notify.sinks import make_sink
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store

HELP = """Cancel a job, waiting or running.

Its result is written at once; a worker that runs it stops at its next renewal of the lease (at most
RYLA_RENEW_SECONDS later). A finished job stays as it is, and that is an error.

Example:

    ryla cancel portrait-1
"""


def register(app: typer.Typer) -> None:
    @app.command("cancel", help=HELP)
    @output.command
    def command(
        id: Annotated[str, typer.Argument(metavar="ID", help="The job.")],
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        settings = bucket_settings(state_dir)
        canceller = Canceller(
            store=open_store(settings),
            runtime=load_runtime(settings, settings.engine),
            sink=make_sink(settings),
            owner=f"cli@{socket.gethostname()}:{os.getpid()}",
        )
        done = canceller.cancel(check_id(id))
        if json:
            document = done.result.model_dump(mode="json")
            output.print_json({"result": document, "events_delivered": done.delivered})
            return
        later = "" if done.delivered else "; its events are delivered later, by a dispatcher"
        output.out().print(f"{id} is cancelled{later}")
