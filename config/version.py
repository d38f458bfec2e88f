"""The version of the package."""

from functools import cache
from importlib import metadata


@cache  # the files that say it are read in milliseconds, by each `Settings`
def package_version() -> str:
    """Of the installed package; `unreleased` where it runs uninstalled."""
    try:
        return metadata.version("ryla-pipeline")
    except metadata.PackageNotFoundError:
        return "unreleased"
