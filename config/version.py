"""The version of the package."""

from importlib import metadata


def package_version() -> str:
    """Of the installed package; `unreleased` where it runs uninstalled."""
    try:
        return metadata.version("ryla-pipeline")
    except metadata.PackageNotFoundError:
        return "unreleased"
