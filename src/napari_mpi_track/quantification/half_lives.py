"""Half-lives of the isotopes used to label cells, from one evaluated source."""

import re
from types import MappingProxyType

from napari_mpi_track.errors import MeasurementError

# Seconds. ENDF/B-VIII.0, radioactive decay sub-library (from ENSDF): Brown et al., Nuclear Data Sheets 148 (2018)
# 1-142, doi:10.1016/j.nds.2018.02.001.
HALF_LIVES_S = MappingProxyType(
    {
        "11C": 1223.1,
        "13N": 597.9,
        "15O": 122.24,
        "18F": 6586.2,
        "64Cu": 45723.6,
        "67Ga": 281810.9,
        "68Ga": 4062.6,
        "86Y": 53064.0,
        "89Zr": 282276.0,
        "99mTc": 21624.12,
        "111In": 242326.1,
        "123I": 47604.24,
        "124I": 360806.4,
        "125I": 5132160.0,
        "131I": 693377.3,
    }
)
_SYMBOLS = {
    "carbon": "C",
    "nitrogen": "N",
    "oxygen": "O",
    "fluorine": "F",
    "copper": "Cu",
    "gallium": "Ga",
    "yttrium": "Y",
    "zirconium": "Zr",
    "technetium": "Tc",
    "indium": "In",
    "iodine": "I",
}
_MASS_FIRST = re.compile(r"\^?(\d+)(m?)\^?[\s_-]*([a-z]+)")
_ELEMENT_FIRST = re.compile(r"([a-z]+)[\s_-]*\^?(\d+)(m?)\^?")


def isotope_name(isotope: str) -> str:
    """Return an isotope as ``89Zr``, from any usual spelling: ``Zr-89``, ``zr89``, ``89-Zr``, ``Zirconium 89``.

    Raises
    ------
    MeasurementError
        The isotope has no half-life here.
    """
    text = isotope.strip().casefold()
    if match := _MASS_FIRST.fullmatch(text):
        mass, metastable, element = match.groups()
    elif match := _ELEMENT_FIRST.fullmatch(text):
        element, mass, metastable = match.groups()
    else:
        mass = metastable = element = ""
    name = f"{mass}{metastable}{_SYMBOLS.get(element, element.capitalize())}"
    if name not in HALF_LIVES_S:
        raise MeasurementError(
            f"the half-life of isotope {isotope!r} is not known", remedy=f"known are {', '.join(HALF_LIVES_S)}"
        )
    return name


def half_life_h(isotope: str) -> float:
    """Return the half-life in hours.

    Raises
    ------
    MeasurementError
        The isotope has no half-life here.
    """
    return HALF_LIVES_S[isotope_name(isotope)] / 3600.0
