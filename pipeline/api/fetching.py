"""The picture of a finished job, as bytes or as where to get them."""

from fastapi import Request
from starlette.responses import Response

from config.errors import OutputsMissing
from pipeline.api.answers import output_of, picture_headers
from pipeline.api.lookup import Place
from pipeline.api.service import Service
from pipeline.store.base import Presigns


async def picture(request: Request, service: Service, place: Place, ordinal: int) -> Response:
    """Raises what the job ended with, where that is not a picture."""
    request.state.job = place.view.id
    result, output = output_of(place, ordinal)
    headers = picture_headers(result, output)
    if request.method == "POST":
        headers["Cache-Control"] = "no-store"  # the answer to a request like it is another picture
    elif _is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    store, settings = service.ports.store, service.ports.bench.settings
    if settings.presign_seconds and isinstance(store.raw, Presigns):
        url = await service.threads.run(
            store.raw.presigned_url, output.key, settings.presign_seconds
        )
        private = {"Cache-Control": "private, no-store"}
        return Response(status_code=302, headers={**headers, **private, "Location": url})
    if request.method == "HEAD":
        headers["Content-Length"] = str(output.bytes)
        return Response(media_type=output.content_type, headers=headers)
    stored = await service.threads.run(store.get, output.key)
    if stored is None:
        raise OutputsMissing(f"{output.key} is not in the bucket", field="key", value=output.key)
    return Response(stored.body, media_type=output.content_type, headers=headers)


def _is_known(given: str | None, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in (given or "").split(",")}
    return etag in tags or "*" in tags
