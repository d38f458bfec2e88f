"""Typed client of the ryla pipeline over HTTP.

with Client() as ryla:
    job = ryla.generate({"model": "flux-dev", "prompt": "a lighthouse in fog"})
    ryla.save(job, "lighthouse.png")
"""

from ryla_client._async_client import AsyncClient
from ryla_client._client import Client
from ryla_client._errors import (
    BadRequest,
    Conflict,
    ConnectionFailed,
    Details,
    NotAllowed,
    NotFound,
    RylaError,
    ServerError,
    ServerFailed,
    StillRunning,
    TooMany,
    UnexpectedAnswer,
)
from ryla_client._jobs import Job, JobCancelled, JobEnded, JobFailed, JobRejected
from ryla_client._pictures import picture
from ryla_client._retry import Retries
from ryla_client.requests import Request
from ryla_client.results import Result

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Details",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobFailed",
    "JobRejected",
    "NotAllowed",
    "NotFound",
    "Request",
    "Result",
    "Retries",
    "RylaError",
    "ServerError",
    "ServerFailed",
    "StillRunning",
    "TooMany",
    "UnexpectedAnswer",
    "picture",
]
