"""Secrets and volumes: what an account has under names."""

# ruff: noqa: N802  the protocol's names

import time
from typing import Any

from tests.support.modal_plane.state import Secret, State, Volume
from tests.support.modal_plane.wire import Empty, Part, Stream, not_found, pb, refused

_NEW = frozenset(
    {
        pb.OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
        pb.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS,
        pb.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS,
    }
)


class Secrets(Part):
    def __init__(self, state: State) -> None:
        self._state = state

    async def SecretGetOrCreate(
        self, request: pb.SecretGetOrCreateRequest
    ) -> pb.SecretGetOrCreateResponse:
        name = request.deployment_name
        if not name:  # made in code, for one app
            return self._kept(Secret("", dict(request.env_dict)))
        if request.object_creation_type in _NEW:
            self._state.given_secrets[name] = dict(request.env_dict)
        values = self._state.given_secrets.get(name)
        if values is None:
            raise not_found(f"Secret '{name}' not found in environment 'main'")
        if missing := [key for key in request.required_keys if key not in values]:
            raise refused(f"Secret '{name}' is missing key(s): {', '.join(missing)}")
        return self._kept(Secret(name, values, set(request.required_keys)))

    def _kept(self, secret: Secret) -> pb.SecretGetOrCreateResponse:
        id = f"st-{secret.name}" if secret.name else self._state.new_id("st")
        known = self._state.secrets.setdefault(id, secret)
        known.required |= secret.required
        known.values = secret.values
        return pb.SecretGetOrCreateResponse(
            secret_id=id, metadata=_secret(secret.name, secret.values)
        )


class Volumes(Part):
    def __init__(self, state: State) -> None:
        self._state = state

    async def VolumeGetOrCreate(
        self, request: pb.VolumeGetOrCreateRequest
    ) -> pb.VolumeGetOrCreateResponse:
        name = request.deployment_name
        id = f"vo-{name}"
        if id not in self._state.volumes:
            if request.object_creation_type not in _NEW:
                raise not_found(f"Volume '{name}' not found in environment 'main'")
            self._state.volumes[id] = Volume(name, request.version or 1)
        volume = self._state.volumes[id]
        version: Any = volume.version
        return pb.VolumeGetOrCreateResponse(volume_id=id, version=version, metadata=_volume(volume))

    async def VolumeCommit(self, request: pb.VolumeCommitRequest) -> pb.VolumeCommitResponse:
        self._state.volumes[request.volume_id].asked["commit"] += 1
        return pb.VolumeCommitResponse(skip_reload=True)

    async def VolumeReload(self, request: pb.VolumeReloadRequest) -> Empty:
        self._state.volumes[request.volume_id].asked["reload"] += 1
        return Empty()

    async def VolumeListFiles2(self, stream: Stream) -> None:
        request = await stream.recv_message()
        assert request is not None
        files = self._state.volumes[request.volume_id].files
        entries = [pb.FileEntry(path=path, size=size) for path, size in files.items()]
        await stream.send_message(pb.VolumeListFiles2Response(entries=entries))


def _created() -> pb.CreationInfo:
    return pb.CreationInfo(created_at=time.time(), created_by="tests")


def _secret(name: str, values: dict[str, str]) -> pb.SecretMetadata:
    return pb.SecretMetadata(name=name, keys=sorted(values), creation_info=_created())


def _volume(volume: Volume) -> pb.VolumeMetadata:
    version: Any = volume.version
    return pb.VolumeMetadata(version=version, name=volume.name, creation_info=_created())
