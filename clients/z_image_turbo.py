"""Pictures with Z-Image Turbo.

python clients/z_image_turbo.py --prompt "a lantern" --output lantern.png
"""

from ryla_client._cli import run

if __name__ == "__main__":
    raise SystemExit(run("z-image-turbo"))
