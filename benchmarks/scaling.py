"""Measure training steps of one model on several devices: blocks of a processor's cores, not more hardware.

    python benchmarks/scaling.py                  # a fiftieth of the adult fly for each device
    python benchmarks/scaling.py --devices 1 2

Each line is one run in a process of its own. `weak`: a brain that grows with the number of devices, so that with a core
for each device the time per step would stay; `strong`: always the same brain. All devices share the machine's cores, so
a line is compared with one device that does the same work: `overhead` is its time over that, what cutting costs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training import CONNECTIONS, NEURONS, UNITS, run, write_brain

from connfit._system.pages import with_huge_pages


def measured(brain_file: Path, credit: str, frames: int, steps: int, devices: int) -> dict[str, object]:
    """Fit on so many devices, in a process that has them."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {
        **(with_huge_pages(os.environ) or os.environ), "CONNFIT_BENCH_BEGAN": str(time.time()), "XLA_FLAGS": flags
    }  # fmt: skip
    command = [sys.executable, __file__, "--run", brain_file, credit, frames, steps, devices]
    done = subprocess.run(list(map(str, command)), env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main() -> None:
    """Run every number of devices, and print a JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.02, help="share of the fly's neurons and connections")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--credit", nargs="+", default=["neuron", "network"])
    parser.add_argument("--steps", type=int, default=512)
    parser.add_argument("--run", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        brain_file, credit, *numbers = options.run
        frames, steps, devices = map(int, numbers)
        print(json.dumps(run(brain_file, "auto", credit, frames, steps, "rate", devices)))
        return
    with tempfile.TemporaryDirectory() as folder:

        def brain(scale: float) -> Path:
            path = Path(folder) / f"{scale:g}.h5"
            if not path.exists():
                write_brain(path, max(UNITS, int(NEURONS * scale)), int(CONNECTIONS * scale))
            return path

        for credit in options.credit:
            for devices in options.devices:
                for kind, scale in (("weak", devices * options.scale), ("strong", options.scale)):
                    if kind == "weak" and devices == 1:
                        continue
                    line = measured(brain(scale), credit, 128, options.steps, devices)
                    alone = measured(brain(scale), credit, 128, options.steps, 1)
                    ratio = float(str(line["ms_per_step"])) / float(str(alone["ms_per_step"]))
                    line |= {"benchmark": "scaling", "kind": kind, "devices": devices, "overhead": round(ratio, 2)}
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
