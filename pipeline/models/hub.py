"""The port to where weight files come from, and Hugging Face behind it.

huggingface_hub is imported when it is used: workers do not have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from config.errors import HubUnavailable, ModelError, ModelGated, ModelNotFound
from config.models import WeightFile
from pipeline.models.models_folder import OnBytes

MAIN = "main"


@dataclass(frozen=True)
class Remote:
    """What the hub says of a file."""

    bytes: int | None
    sha256: str | None
    """None for a small file, of which the hub tells no checksum."""
    revision: str | None
    """The commit that it answered for."""


class Hub(Protocol):
    def look(self, weight: WeightFile) -> Remote:
        """Ask, without downloading. Raises a ModelError."""

    def download(self, weight: WeightFile, remote: Remote, part: Path, on_bytes: OnBytes) -> None:
        """Continue `part` to the whole file. Raises a ModelError; what came stays in `part`."""


class HuggingFace:
    """Signs in with HF_TOKEN, or as `hf auth login` was done; HF_ENDPOINT names another hub."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._hub = _installed("huggingface_hub")
        self._errors = _installed("huggingface_hub.errors")
        self._transfer = _installed("huggingface_hub.file_download")
        self._endpoint = endpoint

    def look(self, weight: WeightFile) -> Remote:
        with self._explained(weight):
            found = self._hub.get_hf_file_metadata(self._url(weight), endpoint=self._endpoint)
        return Remote(found.size, _sha256(found.etag), found.commit_hash)

    def download(self, weight: WeightFile, remote: Remote, part: Path, on_bytes: OnBytes) -> None:
        # hf_hub_download throws a cut download away when its process ends, so a restart would begin
        # 20 GB again. http_get continues where it is told to.
        with self._explained(weight), part.open("ab") as file:
            done = file.tell()
            on_bytes(done)
            self._transfer.http_get(
                self._url(weight),
                _Counted(file, on_bytes),
                resume_size=done,
                headers=self._hub.utils.build_hf_headers(),
                expected_size=remote.bytes,
                tqdm_class=_NoBar,
            )

    def _url(self, weight: WeightFile) -> str:
        url: str = self._hub.hf_hub_url(
            weight.repository,
            weight.path,
            revision=weight.revision or MAIN,
            endpoint=self._endpoint,
        )
        return url

    @contextmanager
    def _explained(self, weight: WeightFile) -> Iterator[None]:
        errors = self._errors
        where = f"{weight.repository}/{weight.path}"
        try:
            yield
        except errors.GatedRepoError:
            raise gated(weight) from None
        except (errors.RepositoryNotFoundError, errors.EntryNotFoundError) as error:
            # Without a token, a gated repository may be told apart from none only by its gate.
            raise ModelNotFound(
                f"{where} is not there, or not for you: {_first_line(error)}",
                value=weight.name,
                hint=f"Set HF_TOKEN if {page(weight)} shows it to you once signed in.",
            ) from None
        except errors.RevisionNotFoundError:
            raise ModelNotFound(
                f"{where} has no revision {weight.revision}",
                value=weight.revision,
                hint="Write the revision that is meant into the file of RYLA_MODELS_FILE.",
            ) from None
        except errors.HfHubHTTPError as error:
            if error.response.status_code in (401, 403):
                raise gated(weight) from None
            raise HubUnavailable(f"{where}: {_first_line(error)}") from None
        except OSError as error:
            raise HubUnavailable(
                f"{where}: {_first_line(error)}",
                hint="Run it again: what was downloaded is kept and continued.",
            ) from None
        except self._transport_error() as error:
            raise HubUnavailable(
                f"{where}: {type(error).__name__}: {_first_line(error)}",
                hint="Check the network and run it again: what was downloaded is kept.",
            ) from None

    def _transport_error(self) -> type[Exception]:
        error: type[Exception] = _installed("httpx2").HTTPError
        return error


def page(weight: WeightFile) -> str:
    """Where a person reads about the file, and accepts its licence."""
    return f"https://huggingface.co/{weight.repository}"


def gated(weight: WeightFile) -> ModelGated:
    return ModelGated(
        f"{weight.repository} is given only to those who have accepted its licence"
        f" ({weight.licence})",
        value=weight.name,
        hint=f"Accept it on {page(weight)}, then set HF_TOKEN to a token of that account.",
    )


class _NoBar:
    """In the place of the hub's own progress bar."""

    def __init__(self, **_: object) -> None:
        pass

    def update(self, _: int) -> None:
        pass

    def __enter__(self) -> "_NoBar":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Counted:
    """A file that tells how long it has become."""

    def __init__(self, file: BinaryIO, on_bytes: OnBytes) -> None:
        self._file, self._on_bytes = file, on_bytes

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._on_bytes(self._file.tell())

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int) -> None:
        self._file.seek(offset)

    def truncate(self) -> None:
        self._file.truncate()


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ModelError(
            f"huggingface_hub cannot be imported: {error}", hint="Install the extra `models`."
        ) from None


def _sha256(etag: str | None) -> str | None:
    """Of large files the etag is the checksum; of small ones it is something else."""
    is_sum = etag is not None and len(etag) == 64 and set(etag) <= set("0123456789abcdef")
    return etag if is_sum else None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
