"""What a route's weights take of a GPU and of main memory. Pure.

A prompt's own weights must lie on the card together, as residency.py counts them; those of other
prompts stay beside them as far as there is room. Each set of models.toml is what one prompt needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from config.gpus import Gpu
from config.models import ModelTable, WeightFile
from config.routes import Route
from pipeline.worker.residency import ROOM_BYTES, shares
from pipeline.worker.route_sets import listed_sets
from workflows.node_pack import Speed

LOADER_OF = {"diffusion_models": "UNETLoader"}
"""Folder of weights that speeds keep otherwise → the loader that `shares` names them by."""


@dataclass(frozen=True)
class CardNeed:
    """Bytes, of one route on one card."""

    prompt: int
    """Of the largest set: without it on the card, its weights move to and fro for each picture."""
    all: int
    """Of all sets: with them on the card, jobs of different kinds read nothing anew."""
    largest_file: int
    """As it lies on the disk; main memory must hold it, since it passes through there."""

    @property
    def least(self) -> int:
        """Below it the route is not served."""
        return self.prompt + ROOM_BYTES

    @property
    def most(self) -> int:
        """That a worker has use for."""
        return self.all + ROOM_BYTES


def card_need(route: Route, models: ModelTable, sizes: Mapping[str, int], speed: Speed) -> CardNeed:
    """`sizes` are bytes by file name; a file of unknown size counts nothing. Face models are small,
    and count neither."""
    found: dict[str, int] = {}
    prompts, largest = [0], 0
    for name in listed_sets(models, route.name):
        files = [each for each in models.weights(name).values() if each.family != "face"]
        of_set = {each.name: _on_card(each, sizes, speed) for each in files}
        prompts.append(sum(of_set.values()))
        found |= of_set
        largest = max([largest, *(sizes.get(each.file, 0) for each in files)])
    return CardNeed(max(prompts), sum(found.values()), largest)


def _on_card(weight: WeightFile, sizes: Mapping[str, int], speed: Speed) -> int:
    share = shares(speed).get(LOADER_OF.get(weight.folder, ""), 1.0)
    return round(sizes.get(weight.file, 0) * share)


def assumed_speed(route: Route, gpu: Gpu | None) -> Speed:
    """As far as it changes what lies on the card. `gpu` is None for a card of no row."""
    lacks_units = gpu is not None and gpu.fp8_tflops is None
    return Speed.FP8 if route.speed == "fp8" and not lacks_units else Speed.STOCK
