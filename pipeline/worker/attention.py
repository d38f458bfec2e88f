"""Which attention is faster on this card: asked in a process of its own, while ComfyUI starts."""

import json
import subprocess
from collections.abc import Mapping

import structlog

from handlers.comfyui.node_folder import node_pack_folder
from workflows.node_pack import Attention

WAIT_SECONDS = 30.0
"""The probe imports torch and runs for a second; later than this the first picture does not wait
any longer."""


class AttentionProbe:
    """Runs from its making on; its answer is waited for by whoever asks first."""

    def __init__(self, python: str, environ: Mapping[str, str]) -> None:
        self._choice: Attention | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                [python, str(node_pack_folder() / "attention_probe.py")],
                env=dict(environ),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            structlog.get_logger(__name__).warning("attention_not_probed", error=str(error))

    @property
    def choice(self) -> Attention:
        """ComfyUI's own where nothing else was measured to be faster."""
        if self._choice is None:
            self._choice = self._answer()
        return self._choice

    def stop(self) -> None:
        """Ends it, if it still runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _answer(self) -> Attention:
        log = structlog.get_logger(__name__)
        if self._process is None:
            return Attention.COMFYUI
        try:
            said, _ = self._process.communicate(timeout=WAIT_SECONDS)
            self._process = None
            told = json.loads(said)
            choice = Attention(told["attention"])
        except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
            self.stop()
            log.warning("attention_not_probed", error=str(error))
            return Attention.COMFYUI
        log.info("attention_probed", **told)
        return choice
