"""Reporter genes of PET and SPECT: which organs take up their tracer without any reporter cell."""

from types import MappingProxyType
from typing import Literal, get_args

Reporter = Literal["NIS", "SSTR2", "PSMA", "HSV1-tk", "NET", "DAbR1"]
REPORTERS: tuple[Reporter, ...] = get_args(Reporter)

# Parts of organs' names. Excretion by the kidneys (and by the bile) is common to the usual tracers; the others hold the
# transporter, the receptor or the enzyme themselves. Li et al. 2018, doi:10.7150/thno.24108.
_EXCRETION = ("kidney", "renal", "bladder", "urin")
_GUT = ("gut", "bowel", "intestin", "duodenum", "colon", "cecum", "caecum")
_UPTAKE = MappingProxyType(
    {
        "NIS": ("thyroid", "stomach", "saliva", "parotid", "mammary", *_GUT),
        "SSTR2": ("pituitary", "adrenal", "spleen", "pancrea", "thyroid", "liver", "stomach", *_GUT),
        "PSMA": ("lacrimal", "saliva", "parotid", "spleen", "liver", "prostate", *_GUT),
        "HSV1-tk": ("liver", "gall", "stomach", *_GUT),
        "NET": ("heart", "myocard", "adrenal", "saliva", "parotid", "liver", "thyroid", *_GUT),
        "DAbR1": (),
    }
)


def takes_up_by_itself(reporter: Reporter, organ: str) -> bool:
    """Return whether an organ of this name takes up or excretes the reporter's usual tracers without any cells."""
    name = organ.casefold()
    return any(word in name for word in (*_UPTAKE[reporter], *_EXCRETION))
