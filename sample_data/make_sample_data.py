"""Rebuild the sample studies in this folder, byte for byte.

    python sample_data/make_sample_data.py            # writes sample_data/car-t and sample_data/knee anew
    python sample_data/make_sample_data.py --check    # writes nothing here; exit 1 if a file here would change

The files here were made with Python 3.11, numpy 2.4.6, scipy 1.17.1, nibabel 5.4.2 and zlib 1.2.13. The voxels do
not depend on the versions as far as we know (computed in double precision, then rounded to 16 bits; numpy keeps the
streams of its Generator stable); the compressed bytes do depend on zlib (zlib-ng packs otherwise), so --check says
whether a file that differs still holds the same content.
"""

import argparse
import gzip
import sys
import tempfile
from pathlib import Path

from napari_mpi_track.simulation.studies import simulate_study

HERE = Path(__file__).resolve().parent
STUDIES = ("car-t", "knee")
SEED = 2026


def make(folder: Path) -> None:
    """Write both studies into ``folder``."""
    for study in STUDIES:
        simulate_study(folder / study, study=study, size="small", seed=SEED, overwrite=True)


def differences(made: Path, kept: Path) -> list[str]:
    """Return what differs between two folders of studies, one sentence a file."""
    found = []
    for name in sorted({path.relative_to(root) for root in (made, kept) for path in _files(root)}):
        if not (made / name).exists():
            found.append(f"{name.as_posix()}: is not made by this script")
        elif not (kept / name).exists():
            found.append(f"{name.as_posix()}: is missing")
        elif (made / name).read_bytes() != (kept / name).read_bytes():
            same = _content(made / name) == _content(kept / name)
            found.append(f"{name.as_posix()}: " + ("same content, packed otherwise" if same else "other content"))
    return found


def _files(root: Path) -> list[Path]:
    return [path for study in STUDIES for path in (root / study).rglob("*") if path.is_file()]


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def main() -> int:
    """Rebuild, or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with what is here, write nothing")
    if not parser.parse_args().check:
        make(HERE)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch))
        found = differences(Path(scratch), HERE)
    print("\n".join(found) if found else "the sample studies are as made")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
