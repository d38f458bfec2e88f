"""The kind `flux-instantid`: pictures in two passes, with a face of the reference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from config.models import ModelTable
from handlers.faces.boxes import Box
from handlers.kinds.base import GraphRunner, JobRequest, Rendered, Work
from handlers.kinds.flux_instantid_input import FluxInstantIdInput
from handlers.kinds.input_pictures import NOT_UPLOADED
from handlers.kinds.instantid import InstantIdKind
from handlers.kinds.requirements import RequiredInputs
from handlers.kinds.sdxl_weights import names, sdxl_weights
from handlers.kinds.two_passes import TwoPasses, composer, face_pass
from workflows import instantid
from workflows.graph import Graph


class FluxInstantId(InstantIdKind[FluxInstantIdInput]):
    name = "flux-instantid"
    route = "Flux"
    input_model = FluxInstantIdInput

    def __init__(self, side: int = instantid.SIDE) -> None:
        """`side` is the longer side in pixels at which SDXL works on a face."""
        self._side = side

    def work(self, request: FluxInstantIdInput) -> Work:
        face = Work(
            request.num_images, request.face_steps, self._side, self._side, "sdxl-instantid"
        )
        return Work(
            request.num_images,
            request.composition_steps,
            request.width,
            request.height,
            request.base,
            face,
        )

    def most_work(self, request: FluxInstantIdInput) -> Work:
        """A composition is made again for a wrong view, and for want of a face; a face for too
        little likeness too."""
        once = self.work(request)
        faces = once.then and once.then.times(request.most_tries)
        composes_again = request.asked_view is not None or not request.allow_no_face
        compositions = once.times(request.max_tries) if composes_again else once
        return replace(compositions, then=faces)

    def required_inputs(self, request: FluxInstantIdInput, models: ModelTable) -> RequiredInputs:
        return replace(super().required_inputs(request, models), face_boxes=True)

    def warnings(self, request: FluxInstantIdInput) -> Sequence[str]:
        kind, composed = composer(request)
        return [*super().warnings(request), *kind.warnings(composed)]

    def graph(
        self,
        job: JobRequest[FluxInstantIdInput],
        files: Mapping[str, str],
        seed: int,
        prefix: str,
    ) -> Graph:
        """The face pass, for judging."""
        return face_pass(
            job.input,
            files,
            NOT_UPLOADED,
            [NOT_UPLOADED] * len(job.input.keys),
            Box(0, 0, 256, 256),
            seed,
            prefix,
            self._side,
        )

    def graphs(self, job: JobRequest[FluxInstantIdInput], models: ModelTable) -> Sequence[Graph]:
        files = names(sdxl_weights(job.input.sdxl_checkpoint, models))
        kind, composed = composer(job.input)
        compositions = kind.graphs(JobRequest(job.job_id, job.attempt, composed, job.seed), models)
        return [*compositions[:1], self.graph(job, files, job.seed, "judged")]

    def run(
        self, job: JobRequest[FluxInstantIdInput], models: ModelTable, runner: GraphRunner
    ) -> Iterator[Rendered]:
        passes = TwoPasses.of(job, models, runner, self._side)
        for ordinal in range(job.input.num_images):
            yield passes.picture(ordinal)
