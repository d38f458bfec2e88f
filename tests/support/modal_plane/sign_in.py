"""This process as one that is signed in to a plane."""

from collections.abc import Iterator
from contextlib import contextmanager

import modal
import pytest
from modal.client import _Client

from tests.support.modal_plane.plane import ModalPlane


@contextmanager
def signed_in(plane: ModalPlane) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in plane.environ.items():
            if name.startswith("MODAL_"):
                patch.setenv(name, value)
        _Client._set_env_client(None)  # whoever was signed in before
        try:
            yield
        finally:
            modal.Client.from_env().close()
