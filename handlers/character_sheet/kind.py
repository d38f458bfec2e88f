"""The kind `character-sheet` as the contract sees it: what it needs, costs and is judged by.

How a sheet is made, step by step, is not the kind's: one `run` could not be taken up in the middle.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from config.errors import NotAvailable
from config.models import ModelTable
from handlers.character_sheet.combinations import Making, combination
from handlers.character_sheet.graphs import judged
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.planner import composition_weights, plan_sheet
from handlers.kinds.base import GraphRunner, JobRequest, Kind, Rendered, Work
from handlers.kinds.lora_fields import lora_base
from handlers.kinds.requirements import LoraRequest, RequiredInputs
from workflows.graph import Graph
from workflows.instantid import SIDE

SDXL = "sdxl-instantid"
"""Whose arithmetic all of SDXL's passes are estimated by: a little too much for one without
InstantID's ControlNet."""


class CharacterSheet(Kind[CharacterSheetInput]):
    name = "character-sheet"
    route = "Flux"
    input_model = CharacterSheetInput
    stops_short = "as a partial sheet"
    in_steps = True

    def work(self, request: CharacterSheetInput) -> Work:
        """One try of each view: with less, there is no sheet."""
        passes = [*self._passes(request)]
        done = passes[-1]
        for earlier in reversed(passes[:-1]):
            done = replace(earlier, then=done)
        return done

    def most_work(self, request: CharacterSheetInput) -> Work:
        """All tries of each view, each with a composition and a face of its own: a face that is
        tried again in the same composition takes less."""
        return self.work(request).times(request.attempts_per_view)

    def _passes(self, request: CharacterSheetInput) -> Iterator[Work]:
        steps, model = request.base_steps, SDXL if request.base == "sdxl" else request.base
        framings = Counter(view.framing for view in request.new_views)
        for framing, count in framings.items():
            size = request.sizes.of(framing)
            yield Work(count, steps, size.width, size.height, model)
        faces = sum(not view.back for view in request.new_views)
        if faces and _making(request) is Making.FACE_PASS:
            yield Work(faces, request.face_steps, SIDE, SIDE, SDXL)

    def required_inputs(self, request: CharacterSheetInput, models: ModelTable) -> RequiredInputs:
        images = {
            f"reference_images.{ordinal}": key
            for ordinal, key in enumerate(request.reference_images)
        }
        lora = None
        if request.lora is not None:
            weights = composition_weights(request, models)
            lora = LoraRequest(
                request.lora, lora_base(weights.get("unet") or weights["checkpoint"])
            )
        return RequiredInputs(lora, images, face_boxes=_making(request) is Making.FACE_PASS)

    def graphs(self, job: JobRequest[CharacterSheetInput], models: ModelTable) -> Sequence[Graph]:
        """One of each way in which the sheet's views are made."""
        plan = plan_sheet(job.input, job.job_id, models, job.supplies.lora)
        return [*judged(plan)]

    def run(
        self,
        job: JobRequest[CharacterSheetInput],  # noqa: ARG002 - of the port
        models: ModelTable,  # noqa: ARG002
        runner: GraphRunner,  # noqa: ARG002
    ) -> Iterator[Rendered]:
        """Raises NotAvailable: a sheet is made step by step, and taken up where its records end."""
        raise NotAvailable(
            "a character sheet is not made in one run", field="model", value=self.name
        )

    def prompts(self, request: CharacterSheetInput) -> Sequence[str]:
        """All of the caller's words as one text: what is harmless in one field may not be so beside
        another, and all views show one person."""
        shared = (
            request.trigger_word,
            request.name,
            request.description,
            request.style,
            request.outfit,
            request.background,
        )
        own = [] if isinstance(request.views, str) else request.views
        texts = (
            *shared,
            *(
                text
                for view in own
                for text in (
                    view.id.replace("-", " "),
                    view.pose,
                    view.expression,
                    view.outfit,
                    view.light,
                    view.background,
                )
            ),
        )
        return ["; ".join(dict.fromkeys(text for text in texts if text))]

    def unavailable(self, request: CharacterSheetInput) -> NotAvailable | None:
        if not request.nsfw or request.base == "flux-dev":
            return None
        return NotAvailable(
            f"{request.base} has no uncensored checkpoint",
            field="input.nsfw",
            value=True,
            hint="Leave nsfw out, or set base to flux-dev.",
        )

    def warnings(self, request: CharacterSheetInput) -> Sequence[str]:
        given, said = request.model_fields_set, []
        if "cfg" in given and request.base != "sdxl":
            said.append(f"cfg has no effect: {request.base} samples at cfg 1")
        if "guidance" in given and request.base != "flux-dev":
            said.append(f"guidance has no effect: {request.base} has none")
        if request.negative_prompt and request.base != "sdxl" and not request.reference_images:
            said.append(f"negative_prompt has no effect: {request.base} samples at cfg 1")
        return said


def _making(request: CharacterSheetInput) -> Making:
    return combination(
        request.base, references=bool(request.reference_images), lora=request.lora is not None
    ).making
