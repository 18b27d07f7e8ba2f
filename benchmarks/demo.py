"""What `make demo` costs after installation: wall and CPU time, and peak memory.

    python benchmarks/demo.py [--workers 1]

Runs `mpi-track run sample_data/car-t/study.yaml` as a process of its own into a scratch folder.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = Path(__file__).parents[1] / "sample_data" / "car-t" / "study.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", "from napari_mpi_track.cli import main; main()", "run", str(STUDY)]
        command += ["--out", f"{scratch}/results", "--workers", str(options.workers)]
        started = time.perf_counter()
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Linux counts in kilobytes, macOS in bytes.
    peak_mb = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    cpu = used.ru_utime + used.ru_stime
    print(f"status {status}, wall {wall:.1f} s, CPU {cpu:.1f} s, largest process {peak_mb:.0f} MB")
    return status


if __name__ == "__main__":
    sys.exit(main())
