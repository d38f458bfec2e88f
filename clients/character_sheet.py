"""A set of views of one person, in a folder.

python clients/character_sheet.py --name Ann --reference-images ann.png --views ten --output ann
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("character-sheet"))
