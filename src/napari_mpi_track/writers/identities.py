"""Codes in place of names: which subject became which, how far its dates are moved, and what its identifiers become."""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from napari_mpi_track.errors import OutputError
from napari_mpi_track.writers.whole import whole_file

_FIRST_DAYS, _DAYS = 400, 3000


@dataclass(slots=True)
class Identities:
    """Codes given so far, and the secret that moves dates and makes identifiers.

    Who has both the secret and the codes can turn everything back: the file of :meth:`save` is to be kept apart from
    what was made with it, or not at all.
    """

    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    codes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Identities":
        """Return the identities of an earlier run; new ones where the file is not there yet.

        Raises
        ------
        OutputError
            If the file is no such key.
        """
        if not path.exists():
            return cls()
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(document["secret"]), {str(name): str(code) for name, code in document["codes"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise OutputError(
                "this is no key of an earlier de-identification", file=path, remedy="name a new file for the key"
            ) from fault

    def save(self, path: Path) -> None:
        """Write the key, in place of the one of an earlier run."""
        with whole_file(path, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"secret": self.secret, "codes": self.codes}, indent=1) + "\n")

    def code_of(self, subject: str) -> str:
        """Return the code of a subject, a new one for a new subject."""
        name = subject.strip()
        return self.codes.setdefault(name, f"S{len(self.codes) + 1:03d}")

    def shifted(self, when: datetime, subject: str) -> datetime:
        """Return a time moved into the past by whole days, as many for everything of one subject."""
        try:
            return when - timedelta(days=_FIRST_DAYS + self._number(f"days {subject.strip()}") % _DAYS)
        except OverflowError:
            return datetime(1900, 1, 1)

    def uid(self, uid: str) -> str:
        """Return the identifier that stands for a DICOM UID: the same for the same one, of another root."""
        # PS3.5 B.2: 2.25 and a 128-bit number.
        return f"2.25.{self._number(f'uid {uid}') % 2**128}"

    def _number(self, text: str) -> int:
        return int.from_bytes(hmac.digest(self.secret.encode(), text.encode(), hashlib.sha256))
