"""The forms of settings that are texts: the pattern of each, and what it means in words."""

from collections.abc import Mapping
from types import MappingProxyType

from config.platforms import PLATFORMS

URL = r"^https?://[^\s/]+\S*$"
PUBLIC_HTTPS = r"^https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:443)?(/[!-\[\]-~]{0,2000})?$"
"""What pipeline.public_https takes, to a host that has a dot."""
WORD = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
TENANT = r"^[a-z0-9][a-z0-9_-]{0,62}$"
PREFIX_IN_BUCKET = r"^([A-Za-z0-9][A-Za-z0-9._-]*/)+$"
TENANTS = r"^([a-z0-9][a-z0-9_-]{0,62}(\s*,\s*|$))*$"
HOSTS = r"^([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(\s*,\s*|$))*$"
ORIGINS = r"^(https?://[^\s,/]+(\s*,\s*|$))*$"
HOST = r"^[A-Za-z0-9.:-]+$"
BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
DEVICES = r"^([A-Za-z0-9/-]+(\s*,\s*|$))*$"
SIZES = r"^([0-9]+(\.[0-9]+)?(\s*,\s*|$))*$"
NAMES = r"^([A-Za-z0-9_-]+(\s*,\s*|$))*$"
PLATFORM_LIST = rf"^(({'|'.join(PLATFORMS)})(\s*,\s*|$))*$"
ENDPOINTS = r"^([A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]+!?)?=[A-Za-z0-9_-]+(\s*,\s*|$))*$"

IN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        URL: "http(s) URL",
        PUBLIC_HTTPS: "https URL of a public host, on port 443",
        WORD: "1 to 64 letters, digits, `.`, `_`, `+`, `-`",
        TENANT: "1 to 63 of `a-z`, `0-9`, `_`, `-`",
        PREFIX_IN_BUCKET: "path that ends in `/`",
        TENANTS: "tenants, separated by commas",
        HOSTS: "host names, separated by commas",
        ORIGINS: "http(s) origins, separated by commas",
        HOST: "name or address",
        BUCKET: "3 to 63 of `a-z`, `0-9`, `.`, `-`",
        SIZES: "numbers, separated by commas",
        NAMES: "names, separated by commas",
        DEVICES: "numbers or UUIDs of GPUs, separated by commas",
        PLATFORM_LIST: "`local`, `modal`, `runpod`, separated by commas",
        ENDPOINTS: "`route=endpoint` or `route@GPU=endpoint`, separated by commas",
    }
)
