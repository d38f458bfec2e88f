"""What scoring one picture costs.

python -m benchmarks.faces [--root FOLDER --pack NAME] [--picture FILE] [--repeat 30]

Without --root it makes the micro pack of the tests: that measures all but the networks' own
arithmetic. With a real pack, give a picture that has a face.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from handlers.faces import insightface_finder
from handlers.faces.boxes import Box, choose
from handlers.faces.match import SCORING_PACK, score
from tests.support.micro_faces import make_pack
from tests.support.portraits import portrait

SIZE = (1024, 1024)
REFERENCES = 3


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root or make_pack(Path(scratch) / options.pack).parent
        started = time.perf_counter()
        analyser = insightface_finder.load(root, options.pack)
        print(f"{'import and load':22}{_ms(started):8.1f} ms   {root / options.pack}")
        started = time.perf_counter()
        picture = options.picture.read_bytes() if options.picture else _drawn()
        face = choose(analyser.find_faces(picture)).embedding
        print(f"{'first picture':22}{_ms(started):8.1f} ms")
        references = [face] * REFERENCES
        _measure("faces in a picture", options.repeat, lambda: analyser.find_faces(picture))
        _measure(
            f"score, {REFERENCES} references",
            options.repeat,
            lambda: score(
                face,
                references,
                embedder=analyser.embedder,
                embedder_sha256=analyser.embedder_sha256,
            ),
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of face packs")
    parser.add_argument("--pack", default=SCORING_PACK)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--repeat", type=int, default=30)
    return parser.parse_args()


def _drawn() -> bytes:
    return portrait({"ann": Box(380, 200, 260, 330)}, size=SIZE)


def _measure(name: str, repeat: int, call: Callable[[], object]) -> None:
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        call()
        times.append(_ms(started))
    print(f"{name:22}{median(times):8.2f} ms   p90 {quantiles(times, n=10)[-1]:.2f}   n {repeat}")


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
