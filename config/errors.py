"""The error tree. One class for each thing that can go wrong and that somebody can act on.

It lies at the bottom of the import order so that every layer raises from the same tree. What an
error becomes in the bucket is decided in pipeline/contract/error_info.py.

    RylaError
    ├── BadManifest                 the request cannot become a job as it is; permanent
    │   ├── ManifestNotJson, ManifestTooLarge, UnsupportedVersion
    │   ├── UnknownField, MissingField, InvalidField, InvalidId, KeyMismatch, IdConflict
    │   └── NotAvailable            a kind or field of the contract that is not built yet
    ├── Refused                     well-formed, and still not run; permanent
    │   ├── DeadlineExceeded, OverBudget, BudgetSpent
    │   ├── TooFewViews             of a character sheet
    │   ├── AttemptsExhausted       a bound of pipeline/queue/bounds.py
    │   │   └── NeverStarted, ClaimsLost, PreemptedTooOften
    │   ├── MissingModel            a weight file that models.toml does not list
    │   └── PolicyRefused           not wanted, whatever could run it
    │       └── NsfwNotAllowed, ConsentMissing, PromptRefused
    ├── ComfyError
    │   ├── ComfyUnavailable, ComfyStartFailed, ComfyDied, ComfyTimeout, ComfyProtocolError
    │   ├── GraphRejected, NodeMissing, NodeFailed
    │   ├── OutOfMemory, TextTooLarge, ComfyDiskFull
    │   ├── OutputsMissing, OutputInvalid
    │   └── PromptInterrupted
    ├── StoreError
    │   ├── StoreUnavailable, StoreDenied, StoreNotConditional
    │   └── Superseded              another execution owns the lease now: stop, write nothing
    ├── EngineUnavailable
    ├── Stopped                     by an operator: it waits until that is lifted
    ├── InstallFailed               a step of `ryla comfyui install`
    ├── DeployFailed                `ryla deploy`
    ├── InvalidSetting
    ├── InvalidInput                a picture or file at intake that cannot be taken
    │   └── MissingInput            a key in the manifest with nothing behind it
    ├── FaceError                   a face that cannot be found or compared
    │   ├── NoFace
    │   └── FaceModelsMissing       insightface, or its model files, are not installed
    ├── LoraError                   a LoRA that cannot be used; permanent
    │   └── LoraNotFound, LoraUnreadable, LoraMismatch
    ├── ModelError                  a weight file that cannot be had or trusted
    │   ├── ModelGated, ModelNotFound, ModelCorrupt, DiskFull
    │   ├── ModelsChanged           another version was activated meanwhile
    │   └── HubUnavailable
    ├── UnknownJob, JobForgotten    a job that cannot be shown
    ├── AlreadyFinished             a job that cannot be cancelled
    ├── BatchError                  a batch of character sheets
    │   └── UnknownBatch, BatchConflict, InvalidRow
    ├── DatasetError                a sheet that no dataset can be made of
    ├── RequestRefused              a request, not its job: pipeline/api/request_errors.py
    └── InternalError               anything unforeseen, caught at a process's edge
"""

from typing import ClassVar


class RylaError(Exception):
    """Base of the tree.

    `code` is stable and machine-readable, `retryable` says whether the same job may succeed on
    another attempt, `http_status` is its status over HTTP. `field` is the path of what is at fault,
    such as `input.width`, `value` what it held; `hint` says what to do about it, and where none is
    given the class's `default_hint` does. `log_tail` has ComfyUI's last lines, the latest at the
    end.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    default_hint: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        value: object = None,
        hint: str | None = None,
        log_tail: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.value = value
        self.hint = hint if hint is not None else self.default_hint
        self.log_tail = log_tail


class BadManifest(RylaError):
    code = "invalid_manifest"
    http_status = 422
    others: "tuple[BadManifest, ...]" = ()
    """Further problems of the same manifest."""


class ManifestNotJson(BadManifest):
    code = "manifest_not_json"
    http_status = 400
    default_hint = "Write one JSON object, UTF-8 encoded."


class ManifestTooLarge(BadManifest):
    code = "manifest_too_large"
    http_status = 413
    default_hint = "A manifest has at most 256 KiB; put pictures under inputs/ and name their keys."


class UnsupportedVersion(BadManifest):
    code = "unsupported_version"
    default_hint = 'Write "version": 1.'


class UnknownField(BadManifest):
    code = "unknown_field"


class InvalidField(BadManifest):
    code = "invalid_field"


class MissingField(BadManifest):
    code = "missing_field"
    http_status = 400


class InvalidId(BadManifest):
    code = "invalid_id"


class KeyMismatch(BadManifest):
    code = "key_mismatch"
    default_hint = "Priority, tenant and model in the key must be those of the manifest."


class IdConflict(BadManifest):
    code = "id_conflict"
    http_status = 409
    default_hint = "This id was used with another body; choose a new id."


class NotAvailable(BadManifest):
    code = "not_available"
    http_status = 501


class Refused(RylaError):
    code = "refused"
    http_status = 422


class DeadlineExceeded(Refused):
    """The manifest's `deadline` had passed by the store's clock."""

    code = "deadline_exceeded"
    http_status = 408


class OverBudget(Refused):
    """The estimate, with each picture made once, is above `max_cost_usd`."""

    code = "over_budget"
    http_status = 402


class BudgetSpent(Refused):
    """A budget of the operator's has no room: it waits, or is refused, as the budget says."""

    code = "budget_spent"
    http_status = 402
    default_hint = "`ryla spend` shows the sums; budgets.toml holds the budgets."


class TooFewViews(Refused):
    """A character sheet ended with fewer views than `min_views`."""

    code = "too_few_views"
    http_status = 422


class AttemptsExhausted(Refused):
    code = "attempts_exhausted"
    http_status = 500


class NeverStarted(AttemptsExhausted):
    code = "never_started"
    default_hint = "Has the route machines, and does its worker start? Its log says why not."


class ClaimsLost(AttemptsExhausted):
    code = "claims_lost"
    default_hint = "The dispatchers' logs say what ended them; the manifest may be at fault."


class PreemptedTooOften(AttemptsExhausted):
    code = "preempted_too_often"
    default_hint = "Give the route GPUs that are not taken away, then submit under a new id."


class MissingModel(Refused):
    code = "missing_model"
    http_status = 503


class PolicyRefused(Refused):
    code = "policy_refused"
    http_status = 403


class NsfwNotAllowed(PolicyRefused):
    code = "nsfw_not_allowed"
    default_hint = "Leave nsfw out, or have the operator name the tenant in RYLA_NSFW_TENANTS."


class ConsentMissing(PolicyRefused):
    code = "consent_missing"
    default_hint = (
        'Give "consent": {"subject": "synthetic" or "consented", "record": where that is written}.'
    )


class PromptRefused(PolicyRefused):
    code = "prompt_refused"


class ComfyError(RylaError):
    code = "comfyui_error"
    http_status = 502


class ComfyUnavailable(ComfyError):
    """Nothing answers at its address."""

    code = "comfyui_unavailable"
    retryable = True


class ComfyStartFailed(ComfyError):
    code = "comfyui_start_failed"
    retryable = True


class ComfyDied(ComfyError):
    code = "comfyui_died"
    retryable = True


class ComfyTimeout(ComfyError):
    """No answer, no step or no end in time: `Waits` in handlers/comfyui/session.py has the
    times."""

    code = "comfyui_timeout"
    retryable = True


class ComfyProtocolError(ComfyError):
    """It answered something that the protocol does not know."""

    code = "comfyui_protocol"
    retryable = True


class GraphRejected(ComfyError):
    """The graph does not fit the node interfaces, found by us or by ComfyUI's own validation."""

    code = "graph_rejected"
    http_status = 422


class NodeMissing(GraphRejected):
    """A node class that this ComfyUI lacks: an older server, or a node pack not installed."""

    code = "node_missing"
    http_status = 503


class NodeFailed(ComfyError):
    """A node raised an exception that is none of the others here."""

    code = "node_failed"


class OutOfMemory(ComfyError):
    code = "out_of_memory"
    retryable = True


class TextTooLarge(ComfyError):
    """Memory ran out while a text was encoded: the text takes it, on every machine alike."""

    code = "text_too_large"
    http_status = 422
    default_hint = "Shorten the text: a text encoder reads some hundred words."


class ComfyDiskFull(ComfyError):
    """The disk that outputs are written to is full. Another machine's may not be."""

    code = "comfyui_disk_full"
    retryable = True


class OutputsMissing(ComfyError):
    """A prompt succeeded, and a file that it should have saved is not there."""

    code = "outputs_missing"
    retryable = True


class OutputInvalid(ComfyError):
    """An output that does not decode, or is not the picture that was asked for."""

    code = "output_invalid"
    retryable = True


class PromptInterrupted(ComfyError):
    """The prompt was stopped or deleted, by us or by somebody else."""

    code = "interrupted"
    retryable = True


class StoreError(RylaError):
    code = "store_error"
    http_status = 503


class StoreUnavailable(StoreError):
    """The store did not answer, or answered that it cannot now."""

    code = "store_unavailable"
    retryable = True


class StoreDenied(StoreError):
    code = "store_denied"
    default_hint = "Check the bucket's name, endpoint, region and credentials."


class StoreNotConditional(StoreError):
    """The store accepts conditional writes and does not honour them, or hides its clock."""

    code = "store_not_conditional"


class Superseded(StoreError):
    code = "superseded"


class EngineUnavailable(RylaError):
    """The platform did not start a worker."""

    code = "engine_unavailable"
    retryable = True
    http_status = 503


class Stopped(RylaError):
    """An operator has stopped jobs like it. It waits, and no attempt is counted."""

    code = "stopped"
    retryable = True
    http_status = 503
    default_hint = "It goes on when the stop is lifted: `ryla stop` shows which stand."


class InstallFailed(RylaError):
    code = "install_failed"


class DeployFailed(RylaError):
    code = "deploy_failed"


class InvalidSetting(RylaError):
    code = "invalid_setting"


class InvalidInput(RylaError):
    code = "invalid_input"
    http_status = 422


class MissingInput(InvalidInput):
    code = "missing_input"
    default_hint = "Put the file under inputs/ first, or let `ryla submit` do it: write @path."


class UnknownJob(RylaError):
    code = "unknown_job"
    http_status = 404
    default_hint = "Check the id; entries that cannot become a job lie under rejected/."


class JobForgotten(RylaError):
    """Somebody has had it erased; its id stays used."""

    code = "job_forgotten"
    http_status = 410
    default_hint = "Nothing of it is left. Send a new job under another id."


class AlreadyFinished(RylaError):
    code = "already_finished"
    http_status = 409


class BatchError(RylaError):
    code = "batch_error"
    http_status = 422


class UnknownBatch(BatchError):
    code = "unknown_batch"
    http_status = 404
    default_hint = "`ryla sheets list` shows all."


class BatchConflict(BatchError):
    """The name stands for other rows, or for an object that is no batch."""

    code = "batch_conflict"
    http_status = 409
    default_hint = "A batch is never changed: send another file under another name."


class InvalidRow(BatchError):
    """A row of a file of characters; `field` is its column."""

    code = "invalid_row"
    row: int | None = None
    """Its number in the file, as a spreadsheet counts."""


class DatasetError(RylaError):
    code = "dataset_error"
    http_status = 409


class LoraError(RylaError):
    """What is told of the file is None as far as it was not known yet."""

    code = "lora_error"
    http_status = 422
    key: str | None = None
    """In the bucket."""
    bytes: int | None = None
    sha256: str | None = None
    seconds: float | None = None
    """From the first look for it to the error."""


class LoraNotFound(LoraError):
    code = "lora_not_found"
    http_status = 404


class LoraUnreadable(LoraError):
    code = "lora_unreadable"
    default_hint = "Save the LoRA as safetensors and upload it again."


class LoraMismatch(LoraError):
    code = "lora_mismatch"


class InternalError(RylaError):
    code = "internal"
    retryable = True


class FaceError(RylaError):
    code = "face_error"


class NoFace(FaceError):
    """No face in the picture, or not so many as the index asks for."""

    code = "no_face"
    http_status = 422


class FaceModelsMissing(FaceError):
    code = "face_models_missing"
    http_status = 503


class ModelError(RylaError):
    code = "model_error"


class ModelGated(ModelError):
    """Its licence must be accepted by hand first."""

    code = "model_gated"
    http_status = 403


class ModelNotFound(ModelError):
    code = "model_not_found"
    http_status = 404


class ModelCorrupt(ModelError):
    """Other bytes than the table says."""

    code = "model_corrupt"
    http_status = 502


class DiskFull(ModelError):
    code = "disk_full"
    http_status = 507


class ModelsChanged(ModelError):
    code = "models_changed"
    http_status = 409


class HubUnavailable(ModelError):
    """Hugging Face did not answer, or answered with an error that may pass."""

    code = "hub_unavailable"
    retryable = True
    http_status = 503
