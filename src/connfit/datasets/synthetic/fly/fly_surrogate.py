"""The fly surrogate on disk: made once from a scale and a seed, then read by name.

SURROGATE: real neurons and real connections of the fly, generated connections for what is missing, and generated
recordings of a hidden teacher. Nothing in it was measured in a living fly.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from connfit._display import visible
from connfit._system.claim import claimed, tidy
from connfit._system.paths import user_path
from connfit.connectome import Connectome
from connfit.datasets import fly_facts as fly
from connfit.datasets.checksums import digest
from connfit.datasets.fetch import search_folders
from connfit.datasets.registry import DATASETS, Dataset
from connfit.datasets.synthetic.fly.fly_store import (
    FRAME_RATE,
    MADE,
    STORE_VERSION,
    FlySurrogate,
    Step,
    write_fly_surrogate,
)
from connfit.datasets.synthetic.fly.fly_wiring import NAME, make_fly_wiring, source_files
from connfit.errors import ConfigError, DataError, one_of
from connfit.recordings import Recording

ANIMALS, FRAMES = 18, 2000
RECORDINGS = tuple(str(animal + 1) for animal in range(ANIMALS))


def load_fly_surrogate(*, scale: float = 1.0, seed: int = 0) -> Connectome:
    """Load the surrogate's wiring; the surrogate is made first, which it says, where it is not here.

    Parameters
    ----------
    scale
        Fraction of the fly's neurons: 1 is the whole brain, less a sub-brain of whole neuropils.
    seed
        Of everything that is generated.
    """
    return here_or_made(scale, seed).connectome()


def load_fly_surrogate_recording(uid: str, *, scale: float = 1.0, seed: int = 0) -> Recording:
    """Load one of the 18 generated recordings, "1" to "18"; parameters as for `load_fly_surrogate`."""
    one_of("recording", uid, RECORDINGS)
    return here_or_made(scale, seed).recording(uid)


def find_fly_surrogate(scale: float = 1.0, seed: int = 0, root: Path | None = None) -> FlySurrogate | None:
    """Find the surrogate under `root`, by default in `$CONNFIT_DATA` or the cache; None where there is no finished one.

    Raises
    ------
    DataError
        If a finished one has lost a file.
    """
    for folder in places(scale, seed, root):
        if not (folder / MADE).is_file():
            continue
        found = FlySurrogate.read(folder)
        for path, size in found.made.files.items():
            if not (folder / path).is_file() or (folder / path).stat().st_size != size:
                raise DataError(
                    f"the surrogate is damaged: {path} is missing or does not have {size:,} bytes",
                    path=folder,
                    fix="Delete the folder; it is then made again",
                )
        return found
    return None


def make_fly_surrogate(
    scale: float = 1.0, seed: int = 0, folder: Path | None = None, *, progress: Step | None = None
) -> FlySurrogate:
    """Generate the surrogate, or find an existing one; the same scale and seed give the same numbers.

    Parameters
    ----------
    scale, seed
        As for `load_fly_surrogate`.
    folder
        Folder like `$CONNFIT_DATA`, in which a folder `fly-surrogate` is made. Default: the cache.
    progress
        Told about the steps.

    Raises
    ------
    ConfigError
        If scale or seed are out of range.
    NotAvailableError
        If the real neurons and connections (dataset `fly-783-halves`) are not here.
    """
    check_scale(scale, seed)
    found = find_fly_surrogate(scale, seed, folder)
    if found is not None:
        tidy(found.folder.parent)
        return found
    target = places(scale, seed, folder)[-1]
    # All that are made there wait for each other, and the first removes what one that was killed has left.
    with claimed(target.parent, wait=True):
        source = source_files()
        found = find_fly_surrogate(scale, seed, folder)
        if found is not None:
            return found
        if progress is not None:
            progress("wiring", 0, 1)
        inputs = {name: digest(path) for name, path in source.items()}
        started = time.perf_counter()
        wiring = make_fly_wiring(scale, seed)
        return write_fly_surrogate(
            wiring, target, scale=scale, seed=seed, frames=FRAMES, animals=ANIMALS, inputs=inputs, progress=progress,
            wiring_s=time.perf_counter() - started,
        )  # fmt: skip


def check_scale(scale: float, seed: int) -> None:
    """Raise a ConfigError for a scale outside 0.01 to 1 or a negative seed."""
    if not 0.01 <= scale <= 1:
        raise ConfigError(f"scale = {scale} must lie between 0.01 and 1 (the whole brain)")
    if seed < 0:
        raise ConfigError(f"seed = {seed} must not be negative")


def expected_time(scale: float) -> str:
    """Describe how long it takes to make a surrogate on two cores."""
    seconds = 20 + 300 * scale
    return f"about {10 * round(seconds / 10)} s" if seconds < 100 else f"about {round(seconds / 60)} minutes"


def here_or_made(scale: float, seed: int) -> FlySurrogate:
    """Find the surrogate, or make it, and say so."""
    check_scale(scale, seed)
    found = find_fly_surrogate(scale, seed)
    if found is not None:
        return found
    target = places(scale, seed)[-1]
    print(
        f"connfit: making the SURROGATE fly brain (scale {scale:g}, seed {seed}) in {visible(str(target))}, once: "
        f"{expected_time(scale)} on two cores",
        file=sys.stderr,
    )
    with making_progress() as tell:
        return make_fly_surrogate(scale, seed, progress=tell)


@contextmanager
def making_progress() -> Iterator[Step]:
    """Show a bar on stderr, only where that is a terminal; gives the function to be told about steps."""
    from rich.console import Console

    from connfit._system.progress_bar import ProgressBar

    console = Console(stderr=True)
    with ProgressBar(console=console) as bar:
        task = bar.add_task("SURROGATE", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"SURROGATE: {what}", completed=done, total=total if done else None)

        yield tell


def places(scale: float, seed: int, root: Path | None = None) -> tuple[Path, ...]:
    """List where a surrogate is looked for; it is made in the last."""
    folders = search_folders(NAME) if root is None else (user_path(root) / NAME,)
    return tuple(folder / f"{scale:.10g}-{seed}-v{STORE_VERSION}" for folder in folders)


DATASETS.register(
    Dataset(
        name=NAME,
        label=(
            "SURROGATE: real neurons and within-hemisphere connections of the adult fly, generated connections for "
            "what is missing, and generated recordings of a hidden teacher"
        ),
        place=4,
        organism="partly generated; wiring in part Drosophila melanogaster",
        licence="Apache-2.0; the real neurons and connections in it CC-BY-4.0",
        citation=(
            f"connfit; real part: {fly.FLYWIRE_CITATION}; totals: Lin et al. 2024, Nature; Shiu et al. 2024, Nature"
        ),
        doi=(fly.DORKENWALD, fly.SCHLEGEL, fly.ECKSTEIN, fly.LIN, fly.SHIU),
        source="generated from a seed and from the files of fly-783-halves; no measured activity",
        sizes=MappingProxyType(
            {
                "neurons": 138639,
                "connections": 15091983,
                "recordings": ANIMALS,
                "frames": FRAMES,
                "frame rate (Hz)": FRAME_RATE,
            }
        ),
        connectome=load_fly_surrogate,
        recording=load_fly_surrogate_recording,
        recordings=RECORDINGS,
        # The filter takes away drift that is slower than 100 s, the margin leaves rates room below the training part's
        # floor.
        preprocess=(
            MappingProxyType({"step": "high_pass", "cutoff_hz": 0.01}),
            MappingProxyType({"step": "scale", "method": "std", "margin": 2.0}),
        ),
        fit=fly.FLY_FIT_UNTYPED,
    )
)
