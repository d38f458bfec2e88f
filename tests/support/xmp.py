"""What a delivered picture says of itself."""

import io
import xml.etree.ElementTree as ET

from PIL import Image

from handlers.media.provenance import DC, IPTC, RDF


def read_provenance(body: bytes) -> dict[str, str]:
    """The `digital_source_type`, `job_id` and `prompt` in a picture's XMP."""
    with Image.open(io.BytesIO(body)) as image:
        xmp = image.info.get("xmp", b"")
    return parse_packet(xmp.encode() if isinstance(xmp, str) else xmp)


def parse_packet(xmp: bytes) -> dict[str, str]:
    """`digital_source_type`, `job_id` and `prompt` of a packet, as far as they are there."""
    if b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:
        return {}
    try:
        about = ET.fromstring(xmp).find(f".//{{{RDF}}}Description")
    except ET.ParseError:
        return {}
    if about is None:
        return {}
    found = {
        "digital_source_type": about.get(f"{{{IPTC}}}DigitalSourceType"),
        "job_id": about.get(f"{{{DC}}}identifier"),
        "prompt": about.findtext(f"{{{DC}}}description/{{{RDF}}}Alt/{{{RDF}}}li"),
    }
    return {name: value for name, value in found.items() if value is not None}
