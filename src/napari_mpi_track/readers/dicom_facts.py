"""What DICOM tags say besides pixels and place: modality, unit, times, tracer, dose."""

import re
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from napari_mpi_track.imaging.volume import Modality

# How pydicom's raw bytes of a type of value are laid out; the others are text. (US stands for "US or SS" too: what is
# read here is never negative.)
_BINARY = {"US": "H", "US or SS": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
_UNITS = {"BQML": "Bq/mL", "CNTS": "counts", "GML": "g/mL", "CM2ML": "cm2/mL", "NONE": None}
_SYMBOLS = {
    "fluorine": "F", "carbon": "C", "nitrogen": "N", "oxygen": "O", "zirconium": "Zr", "copper": "Cu",
    "gallium": "Ga", "iodine": "I", "indium": "In", "technetium": "Tc", "yttrium": "Y", "lutetium": "Lu",
    "rubidium": "Rb", "scandium": "Sc", "thallium": "Tl", "bromine": "Br", "manganese": "Mn", "actinium": "Ac",
}  # fmt: skip


def text(header: Dataset, tag: int) -> str | None:
    """Return a tag's text, several values joined by a backslash; ``None`` if absent or empty.

    Most tags of most slices are looked at once: unconverted bytes are ten times faster than pydicom's values.
    """
    if tag not in header:
        return None
    item = header.get_item(tag)
    value: Any = item.value if item is not None else None
    if isinstance(item, RawDataElement) and isinstance(value, bytes):
        value = value.decode("latin-1")
    elif value is not None and not isinstance(value, str):
        value = "\\".join(str(part) for part in value) if hasattr(value, "__iter__") else str(value)
    stripped = (value or "").strip(" \0\t\r\n")
    return stripped or None


def numbers(header: Dataset, tag: int) -> list[float] | None:
    """Return the numbers of a tag of decimal strings; ``None`` if absent or empty."""
    said = text(header, tag)
    return None if said is None else [float(part) for part in said.split("\\")]


def number(header: Dataset, tag: int) -> float | None:
    """Return the one number of a tag (the first of several); ``None`` if absent or empty."""
    if tag not in header:
        return None
    item = header.get_item(tag)
    if isinstance(item, RawDataElement) and isinstance(item.value, bytes):
        layout = _BINARY.get(item.VR or dictionary_VR(tag))
        if layout is None:
            said = text(header, tag)
            return None if said is None else float(said.split("\\")[0])
        size = struct.calcsize(layout)
        order = "<" if item.is_little_endian else ">"
        return None if len(item.value) < size else float(struct.unpack(order + layout, item.value[:size])[0])
    value = header[tag].value
    if value is None or value == "":
        return None
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        value = value[0] if len(value) else None
    return None if value is None else float(value)


def moment(header: Dataset) -> datetime | None:
    """Return when the acquisition of a slice or frame began, ``None`` where that is not stated in full."""
    for tag in (0x00189074, 0x0008002A):
        when = parsed_moment(text(header, tag))
        if when is not None:
            return when
    return _joined(header, 0x00080022, 0x00080032)


def _joined(header: Dataset, date_tag: int, time_tag: int) -> datetime | None:
    date, time = text(header, date_tag), text(header, time_tag)
    if date is None or time is None:
        return None
    when = parsed_moment(date.replace(".", "") + time.replace(":", ""))
    offset = _offset(text(header, 0x00080201))
    return when if when is None or offset is None else when.replace(tzinfo=offset)


def parsed_moment(said: str | None) -> datetime | None:
    """Return a DICOM date-time (YYYYMMDDHHMMSS.FFFFFF&ZZXX), ``None`` unless date, hours and minutes are there."""
    match = re.fullmatch(r"(\d{8})(\d{2})(\d{2})(\d{2})?(?:\.(\d{1,6}))?\s*([+-]\d{4})?", said or "")
    if match is None:
        return None
    date, hours, minutes, seconds, fraction, offset = match.groups()
    try:
        when = datetime.strptime(date + hours + minutes + (seconds or "00"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return when.replace(microsecond=int((fraction or "0").ljust(6, "0")), tzinfo=_offset(offset))


def _offset(said: str | None) -> timezone | None:
    if said is None or not re.fullmatch(r"[+-]\d{4}", said):
        return None
    minutes = int(said[1:3]) * 60 + int(said[3:5])
    return UTC if minutes == 0 else timezone((1 if said[0] == "+" else -1) * timedelta(minutes=minutes))


def modality_of(header: Dataset) -> Modality | None:
    """Return how the image was made, ``None`` where the tags do not say.

    MPI has no DICOM modality of its own; only the maker's name (Magnetic Insight, Momentum) tells.
    """
    maker = f"{text(header, 0x00080070) or ''} {text(header, 0x00081090) or ''}".lower()
    if "magnetic insight" in maker or "momentum" in maker.split():
        return Modality.MPI
    code = text(header, 0x00080060)
    nucleus = (text(header, 0x00180085) or text(header, 0x00189100) or "").upper()
    if code == "MR" and nucleus in ("19F", "F19"):
        return Modality.F19
    if code == "NM" and "TOMO" in (text(header, 0x00080008) or ""):
        return Modality.SPECT
    return {"CT": Modality.CT, "MR": Modality.MR, "PT": Modality.PET}.get(code or "")


def unit_of(header: Dataset) -> str | None:
    """Return the unit of the values, ``None`` where the tags do not say."""
    said = text(header, 0x00541001)
    if said is not None:
        return _UNITS.get(said, said)
    kind = text(header, 0x00281054)
    if text(header, 0x00080060) == "CT" and kind in (None, "HU"):
        return "HU"
    return None if kind in (None, "US") else kind


def is_mpi_projection(header: Dataset) -> bool:
    """Return whether an MPI file says that it is a projection: its image type or its volumetric properties."""
    said = {*(text(header, 0x00080008) or "").upper().split("\\"), (text(header, 0x00089206) or "").upper()}
    return bool(said & {"PROJECTION", "PROJECTION IMAGE", "SAMPLED"} - {"SAMPLED"})


def tracer_of(header: Dataset) -> str | None:
    """Return the radiopharmaceutical, ``None`` where the tags do not say."""
    dose = _dose(header)
    return None if dose is None else text(dose, 0x00180031)


def facts_of(header: Dataset) -> dict[str, Any]:
    """Return further facts by plain names with their unit; what is absent is left out."""
    facts: dict[str, Any] = {
        "subject": text(header, 0x00100020),
        "manufacturer": text(header, 0x00080070),
        "software_versions": text(header, 0x00181020),
        "series_description": text(header, 0x0008103E),
        "image_comments": text(header, 0x00204000),
        "patient_position": text(header, 0x00185100),
        "series_uid": text(header, 0x0020000E),
        "series_at": _joined(header, 0x00080021, 0x00080031),
        "patient_weight_kg": number(header, 0x00101030),
        "decay_correction": text(header, 0x00541102),
        "corrected_image": text(header, 0x00280051),
        "frame_duration_s": _seconds(number(header, 0x00181242)),
    }
    dose = _dose(header)
    if dose is not None:
        facts |= {
            "injected_activity_bq": number(dose, 0x00181074),
            "half_life_s": number(dose, 0x00181075),
            "injected_at": _injected_at(header, dose),
            "isotope": _isotope(dose),
        }
    return {name: value for name, value in facts.items() if value is not None}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _dose(header: Dataset) -> Dataset | None:
    sequence = header.get("RadiopharmaceuticalInformationSequence")
    return sequence[0] if sequence else None


def _injected_at(header: Dataset, dose: Dataset) -> datetime | None:
    """Return when the dose was given: the full date-time, else the time on the day of the series.

    A time of day after the series' own belongs to the day before (an injection before midnight).
    """
    when = parsed_moment(text(dose, 0x00181078))
    if when is not None:
        return when
    series = _joined(header, 0x00080021, 0x00080031)
    time = text(dose, 0x00181072)
    if series is None or time is None:
        return None
    when = parsed_moment(series.strftime("%Y%m%d") + time.replace(":", ""))
    if when is None:
        return None
    when = when.replace(tzinfo=series.tzinfo)
    return when - timedelta(days=1) if when > series else when


def _isotope(dose: Dataset) -> str | None:
    """Return the isotope as mass and symbol, "89Zr"; the text of the file where it is written otherwise."""
    sequence = dose.get("RadionuclideCodeSequence")
    said = text(sequence[0], 0x00080104) if sequence else None
    if said is None:
        return None
    mass = re.search(r"\d{1,3}m?", said)
    word = re.sub(r"[^A-Za-z]", " ", re.sub(r"\d{1,3}m?", " ", said)).split()
    if mass is None or not word:
        return said
    symbol = _SYMBOLS.get(word[0].lower(), word[0].capitalize() if len(word[0]) <= 2 else None)
    return said if symbol is None else f"{mass.group()}{symbol}"
