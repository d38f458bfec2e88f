"""What checking and fetching a LoRA file costs.

python -m benchmarks.loras [--megabytes 200] [--repeat 10]

The file is a full Flux LoRA as kohya's trainer writes it, in an embedded store on this machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.setting import goal, ground, machine
from handlers.loras.bases import flux
from handlers.loras.fit import check
from handlers.loras.header import FileRanges
from handlers.loras.refs import ByName
from pipeline.loras.cache import lora_cache
from pipeline.loras.fetch import check_lora, fetch_lora
from pipeline.store.open import open_store
from tests.support.safetensors_files import KOHYA, flux_native, lora, underscored, write_sparse

BYTES_OF_RANK_1 = 7_000_000
"""Of a Flux LoRA that changes every linear of its blocks, in halves."""
LIMIT_S = 0.5
NAME = ByName("bench")
T = TypeVar("T")


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rank = max(1, round(options.megabytes * 1e6 / BYTES_OF_RANK_1))
        specs = lora(underscored("lora_unet_", flux_native()), KOHYA, rank, alpha=1.0)
        file = write_sparse(folder / "bench.safetensors", specs)
        size = file.stat().st_size / 1e6
        print(
            f"{size:.0f} MB, rank {rank}, {len(specs):,} tensors, n {options.repeat}; {machine()}"
        )
        base, seconds = _timed(flux)
        print(f"{'names of the base, once':32}{seconds * 1000:9.1f} ms")
        slowest = _measure("check on disk", options.repeat, lambda: check(FileRanges(file), base))
        _in_a_bucket(folder, file, options.repeat)
    goal(f"a file is checked within {LIMIT_S} s", met=slowest < LIMIT_S)


def _in_a_bucket(folder: Path, file: Path, repeat: int) -> None:
    with ground() as at:
        settings = at.bucket("loras")
        store, cache, base = open_store(settings), lora_cache(settings, folder), flux()
        store.write("loras/bench.safetensors", file.read_bytes(), "application/octet-stream")
        _measure("check in a bucket", repeat, lambda: check_lora(store, NAME, base))
        (_, kept), seconds = _timed(lambda: fetch_lora(store, cache, NAME, base))
        rate = kept.bytes / seconds / 1e6
        print(f"{'pull, hash and check':32}{seconds * 1000:9.1f} ms   {rate:.0f} MB/s")
        _measure("find it pulled, and check", repeat, lambda: fetch_lora(store, cache, NAME, base))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--quick", action="store_const", dest="repeat", const=3, help="repeat 3")
    return parser.parse_args(arguments)


def _measure(name: str, repeat: int, call: Callable[[], object]) -> float:
    """The slowest, in seconds."""
    times = [_timed(call)[1] for _ in range(repeat)]
    print(f"{name:32}{median(times) * 1000:9.1f} ms   slowest {max(times) * 1000:.1f}")
    return max(times)


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


if __name__ == "__main__":
    main()
