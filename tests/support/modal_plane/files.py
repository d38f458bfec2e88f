"""Files that a deployment ships, and images, which are kept as they were written and not built."""

# ruff: noqa: N802  the protocol's names

from pathlib import Path, PurePosixPath

from tests.support.modal_plane.apps import BUILDER
from tests.support.modal_plane.state import Function, State
from tests.support.modal_plane.wire import SUCCESS, Part, not_found, pb

COPY = "COPY . /"
CODE = "/root/"
"""What is copied elsewhere, the build alone needs."""


class Files(Part):
    def __init__(self, state: State) -> None:
        self._state = state

    async def MountBatchedCheckExistence(
        self, request: pb.MountBatchedCheckExistenceRequest
    ) -> pb.MountBatchedCheckExistenceResponse:
        missing = [sha for sha in request.sha256_hex_hashes if sha not in self._state.contents]
        return pb.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    async def MountPutFile(self, request: pb.MountPutFileRequest) -> pb.MountPutFileResponse:
        if request.data or request.data_blob_id == "":
            self._state.contents[request.sha256_hex] = request.data
        return pb.MountPutFileResponse(exists=request.sha256_hex in self._state.contents)

    async def MountGetOrCreate(
        self, request: pb.MountGetOrCreateRequest
    ) -> pb.MountGetOrCreateResponse:
        if request.deployment_name and not request.files:
            # Modal's own client, which the containers here have already.
            return _mount(f"mo-{request.deployment_name}")
        id = self._state.new_id("mo")
        self._state.mounts[id] = {file.filename: file for file in request.files}
        return _mount(id)


class Images(Part):
    def __init__(self, state: State) -> None:
        self._state = state

    async def ImageGetOrCreate(
        self, request: pb.ImageGetOrCreateRequest
    ) -> pb.ImageGetOrCreateResponse:
        id = self._state.new_id("im")
        self._state.images[id] = request
        return pb.ImageGetOrCreateResponse(
            image_id=id,
            metadata=pb.ImageMetadata(image_builder_version=BUILDER),
            result=pb.GenericResult(status=SUCCESS),
        )


def _mount(id: str) -> pb.MountGetOrCreateResponse:
    metadata = pb.MountHandleMetadata(content_checksum_sha256_hex="0")
    return pb.MountGetOrCreateResponse(mount_id=id, handle_metadata=metadata)


def image_lines(state: State, image_id: str) -> list[str]:
    """The commands that build it, those of the images below it first."""
    if image_id not in state.images:
        raise not_found(image_id)
    image = state.images[image_id].image
    below = [line for base in image.base_images for line in image_lines(state, base.image_id)]
    return [*below, *image.dockerfile_commands]


def shipped(state: State, function: Function) -> dict[str, pb.MountFile]:
    """Path in the container -> file, of all that a container of it gets mounted, and of the code
    that was copied into its image."""
    definition = function.definition
    mounted = {
        path: file
        for mount in definition.mount_ids
        for path, file in state.mounts.get(mount, {}).items()
    }
    return _copied(state, definition.image_id) | mounted


def _copied(state: State, image_id: str) -> dict[str, pb.MountFile]:
    if image_id not in state.images:
        return {}
    image = state.images[image_id].image
    files = {
        path: file
        for base in image.base_images
        for path, file in _copied(state, base.image_id).items()
    }
    if COPY in image.dockerfile_commands:
        files |= state.mounts[image.context_mount_id]
    return {path: file for path, file in files.items() if path.startswith(CODE)}


def lay_out(state: State, function: Function, root: Path) -> None:
    """Write these files below `root`, as they would lie below / in the container."""
    for path, file in shipped(state, function).items():
        place = root / PurePosixPath(path).relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(state.contents[file.sha256_hex])
