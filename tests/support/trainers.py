"""How the two trainers walk a folder of pictures, told again from what was seen of them.

ai-toolkit looks into every folder below the one that it is given, but hidden ones and `_controls`,
and trains on each picture there that is not hidden itself. A caption is the text beside it of the
same stem, else `default.txt`, else nothing; `[trigger]` in it becomes the trigger word, which is
put in front of a caption that lacks it.

kohya's older way, `--train_data_dir`, takes the folders right below it that are named
`<repeats>_<words>`, and nothing in other ones; `--dataset_config` names one flat folder and its
repeats. Either way only the first line of a caption counts, the file with the last four parts of
the name cut off at "_" is looked for as well, and an empty caption ends the program.
"""

import os
from dataclasses import dataclass
from pathlib import Path

AI_TOOLKIT_READS = (".jpg", ".jpeg", ".png", ".webp")
KOHYA_READS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Trained:
    """A picture that is trained on."""

    path: Path
    caption: str
    repeats: int = 1


def ai_toolkit(folder_path: Path, caption_ext: str, trigger_word: str) -> list[Trained]:
    found = []
    for here, folders, files in os.walk(folder_path):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "_controls"]
        for name in files:
            path = Path(here, name)
            if path.suffix.lower() in AI_TOOLKIT_READS and not name.startswith("."):
                text = _beside(path, caption_ext).replace("[trigger]", trigger_word)
                if trigger_word not in text:
                    text = f"{trigger_word} {text}"
                found.append(Trained(path, text))
    return sorted(found, key=lambda one: one.path)


def _beside(path: Path, caption_ext: str) -> str:
    for text in (path.with_suffix(f".{caption_ext}"), path.with_name("default.txt")):
        if text.exists():
            return text.read_text("utf-8")
    return ""


def kohya_train_data_dir(train_data_dir: Path) -> list[Trained]:
    found = []
    for folder in sorted(path for path in train_data_dir.iterdir() if path.is_dir()):
        repeats, _, words = folder.name.partition("_")
        if repeats.isdigit() and words:
            found += kohya_image_dir(folder, int(repeats), words)
    return found


def kohya_image_dir(
    image_dir: Path, num_repeats: int, class_tokens: str, caption_extension: str = ".txt"
) -> list[Trained]:
    pictures = sorted(path for path in image_dir.iterdir() if path.suffix in KOHYA_READS)
    return [
        Trained(path, _first_line(path, caption_extension) or class_tokens, num_repeats)
        for path in pictures
    ]


def _first_line(path: Path, extension: str) -> str | None:
    stems = (path.stem, "_".join(path.stem.split("_")[:-4]))
    for stem in stems:
        text = path.with_name(f"{stem}{extension}")
        if stem and text.exists():
            lines = text.read_text("utf-8").splitlines()
            assert lines, f"caption file is empty: {text}"
            return lines[0].strip()
    return None
