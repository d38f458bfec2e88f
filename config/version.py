"""The version of the package."""

from importlib import metadata


def package_version() -> str:
    try:
        return metadata.version("ryla-pipeline")
    except metadata.PackageNotFoundError:
        return "unreleased"
