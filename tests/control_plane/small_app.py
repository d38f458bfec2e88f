"""An app with a bit of everything, for the tests of the control plane."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import modal

app = modal.App("small", tags={"team": "tests"})
image = modal.Image.debian_slim(python_version="3.11").apt_install("git")
secret = modal.Secret.from_name("small", required_keys=["WORD"])
volume = modal.Volume.from_name("weights", create_if_missing=True, version=2)


@app.cls(
    image=image,
    gpu=["L40S", "H100"],
    timeout=600,
    volumes={"/models": volume.with_mount_options(read_only=True)},
)
class Box:
    @modal.enter()
    def start(self) -> None:
        self.started = True

    @modal.method()
    def run(self, diary: str, seconds: float) -> bool:
        """Notes each start, and how it was interrupted."""
        with open(diary, "a") as file:
            file.write("start\n")
        try:
            time.sleep(seconds)
        except BaseException as error:
            with open(diary, "a") as file:
                file.write(f"{type(error).__name__}\n")
            raise
        return self.started


@app.function(
    image=image,
    secrets=[secret],
    schedule=modal.Cron("* * * * *"),
    timeout=50,
    max_containers=1,
)
def look() -> dict[str, Any]:
    files = [path.name for path in Path.cwd().iterdir() if path.suffix == ".py"]
    return {"word": os.environ["WORD"], "files": files, "remote": not modal.is_local()}


@app.function(image=image)
def spawn(diary: str) -> str:
    """One call on another GPU, and one that is cancelled while it runs."""
    box = modal.Cls.from_name("small", "Box")
    box.with_options(gpu="H200")().run.remote(f"{diary}-h200", 0)
    call = box().run.spawn(diary, 30)
    while not Path(diary).exists():
        time.sleep(0.02)
    call.cancel()
    try:
        call.get(timeout=10)
    except BaseException as error:
        return type(error).__name__
    return "not cancelled"


@app.function(image=image)
def fail() -> None:
    raise LookupError("nothing here")


@app.function(image=image)
@modal.concurrent(max_inputs=4)
@modal.asgi_app(label="small-web")
def web() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    stop = asyncio.Event()

    async def echo(request: Request) -> Response:
        said = f"{request.method} {request.url.query} {(await request.body()).decode()}"
        return PlainTextResponse(said, 201, {"x-test": "yes"})

    async def tell(request: Request) -> Response:
        """The second part comes only after another request."""

        async def parts() -> AsyncIterator[str]:
            yield "first\n"
            await stop.wait()
            yield "second\n"

        return StreamingResponse(parts())

    async def go_on(request: Request) -> Response:
        stop.set()
        return PlainTextResponse("")

    return Starlette(
        routes=[
            Route("/echo", echo, methods=["GET", "POST"]),
            Route("/tell", tell),
            Route("/go-on", go_on),
        ]
    )
