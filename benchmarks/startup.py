"""How long `import napari_mpi_track` takes, and whether it leaves napari and Qt alone.

    python benchmarks/startup.py

Promise: under 0.3 s, beside what an empty Python takes; neither napari nor a Qt binding is loaded. Each import runs
in a new interpreter, since a module is imported only once. Exit status 1 if the promise is not kept.
"""

import subprocess
import sys
from statistics import median
from time import perf_counter

RUNS = 7
LIMIT_S = 0.3
HEAVY = ("napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "SimpleITK", "matplotlib", "numpy")
FORBIDDEN = ("napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui")
LOADED = f"import sys, napari_mpi_track; print(*[name for name in {HEAVY!r} if name in sys.modules])"


def seconds(statement: str) -> float:
    """Return the median time that a new interpreter takes for one statement, in s."""
    times = []
    for _ in range(RUNS):
        start = perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(perf_counter() - start)
    return median(times)


def main() -> int:
    """Print the times and what was loaded; return 1 if the promise is not kept."""
    empty, ours = seconds("pass"), seconds("import napari_mpi_track")
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    print(f"empty Python             {empty:.3f} s")
    print(f"import napari_mpi_track  {ours - empty:.3f} s more (promised: under {LIMIT_S} s), median of {RUNS}")
    print(f"heavy modules loaded     {', '.join(loaded) or 'none'}")
    kept = ours - empty < LIMIT_S and not set(loaded) & set(FORBIDDEN)
    print("promise kept" if kept else "PROMISE BROKEN")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
