"""What both clients need of httpx and of the answers."""

from collections.abc import Mapping
from typing import Any

import httpx

from ryla_client._calls import Broken, Call, Reply, Write
from ryla_client._config import CONNECT_SECONDS, SLACK, Server
from ryla_client._jobs import Job


def options(server: Server) -> dict[str, Any]:
    """For httpx.Client and httpx.AsyncClient. The key is not sent on to where a redirect leads."""
    return {
        "base_url": server.url,
        "headers": server.headers(),
        "timeout": httpx.Timeout(SLACK, connect=CONNECT_SECONDS),
        "follow_redirects": True,
    }


def arguments(call: Call) -> dict[str, Any]:
    """For httpx: the timeout is what the server is asked to wait, and SLACK."""
    return {
        "method": call.method,
        "url": call.path,
        "content": call.body,
        "headers": dict(call.headers),
        "timeout": httpx.Timeout(SLACK + call.wait, connect=CONNECT_SECONDS),
    }


def reply(response: httpx.Response) -> Reply:
    headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def broken(error: httpx.RequestError) -> Broken:
    url = error.request.url
    said = str(error) or "no answer"
    why = f"{url.scheme}://{url.netloc.decode()}: {type(error).__name__}: {said}"
    return Broken(why, reached=not isinstance(error, httpx.ConnectError))


def known(job: Job | str) -> Job:
    """A job by its id alone is one in a state that nobody knows."""
    return job if isinstance(job, Job) else Job(job, "unknown")


def write(step: Write) -> None:
    """The whole file or none: a half one would look like a picture."""
    step.path.parent.mkdir(parents=True, exist_ok=True)
    part = step.path.with_name(f".{step.path.name}.part")
    part.write_bytes(step.body)
    part.replace(step.path)
