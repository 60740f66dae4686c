"""HDF5 files that crash the library, or on which it never ends, are refused; all others cost little."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from recording_files import write_hdf5, write_nwb
from small import regional_connectome

from connfit._system import hdf5_trial
from connfit._system.hdf5_guard import opened
from connfit._system.hdf5_probe import read_all
from connfit.connectome import Connectome
from connfit.datasets.synthetic.fly.fly_teacher import FlyTeacher
from connfit.errors import ConfigError, DataError
from connfit.recordings.readers import read_recording


def crashing(path: Path) -> Path:
    """Give a file an attribute of text whose kind there is not, at which the library crashes."""
    with h5py.File(path, "a") as file:
        file.attrs["uid"] = "a text"
    content = path.read_bytes()
    place = content.rindex(b"\x19\x01\x01\x00\x10\0\0\0", 0, content.rindex(b"\x19\x01\x01\x00\x10\0\0\0") + 8)
    path.write_bytes(content[: place + 1] + b"\xe8" + content[place + 2 :])
    return path


def endless(path: Path) -> Path:
    """Make the first object of a heap of text one without a size: the library looks for its end for ever."""
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(bytes(content))
    return path


def brain(path: Path) -> Path:
    regional_connectome().save(path)
    return path


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "a.h5": (write_hdf5, read_recording),
    "a.nwb": (write_nwb, lambda path: read_recording(path, unit_column="label")),
    "brain.h5": (brain, Connectome.load),
    "teacher.h5": (write_hdf5, FlyTeacher.load),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_crashes_the_library_is_refused_by_every_reader(name: str, tmp_path: Path) -> None:
    write, read = READERS[name]
    path = crashing(write(tmp_path / name))
    with pytest.raises(DataError, match=rf"{name}: the HDF5 library crashes on this file \(SIG[A-Z]+\): it is damaged"):
        read(path)


def test_a_file_on_which_the_library_does_not_end_is_refused(tmp_path: Path) -> None:
    path = endless(write_hdf5(tmp_path / "a.h5"))
    began = time.process_time()
    with pytest.raises(DataError, match="the HDF5 library does not end on this file: it is damaged"):
        read_recording(path)
    assert time.process_time() - began < 1, "it ran here"


def test_a_chunk_that_is_far_larger_than_what_is_stored_is_not_unpacked(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        values = file["dff"][()]  # pyright: ignore[reportIndexIssue]
        del file["dff"]
        large = file.create_dataset("dff", values.shape, "f8", chunks=(20_000, 20_000), maxshape=(None, None),
                                    compression="gzip")  # fmt: skip
        large.id.write_direct_chunk((0, 0), bytes(100))
    with pytest.raises(DataError, match=r"3,200,000,000 bytes, of which the file stores 100"):
        read_recording(path)


def test_texts_that_share_one_place_in_the_file_are_not_unpacked(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", units=("A" * 2_000_000, "b", "c"))
    with h5py.File(path) as file:
        place = file["neuron"].id.get_offset()
    with opened(path) as file:
        assert len(file["neuron"][0]) == 2_000_000
    content = bytearray(path.read_bytes())
    content[place + 16 : place + 48] = content[place : place + 16] * 2
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="asks for more memory than all that this file holds"), opened(path):
        pass


def test_a_file_is_tried_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    ended = hdf5_trial._ended
    monkeypatch.setattr(hdf5_trial, "_ended", lambda path: (tried.append(path), ended(path))[1])
    path = write_hdf5(tmp_path / "a.h5")
    for _ in range(3):
        read_recording(path)
    assert len(tried) == 1
    os.utime(path, (1, 1))
    read_recording(path)
    assert len(tried) == 2
    monkeypatch.setenv(hdf5_trial.VARIABLE, "off")
    os.utime(path, (2, 2))
    read_recording(path)
    assert len(tried) == 2
    monkeypatch.setenv(hdf5_trial.VARIABLE, "perhaps")
    with pytest.raises(ConfigError, match=hdf5_trial.VARIABLE):
        hdf5_trial.try_once(path)


def test_after_a_crash_good_files_are_read_and_from_threads_too(tmp_path: Path) -> None:
    bad = crashing(write_hdf5(tmp_path / "bad.h5"))
    good = [write_hdf5(tmp_path / f"{k}.h5") for k in range(6)]
    said: list[object] = []

    def read(path: Path) -> None:
        try:
            said.append(read_recording(path).frames)
        except DataError as error:
            said.append(str(error))

    threads = [threading.Thread(target=read, args=(path,)) for path in (*good, bad)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(type, said), key=str) == [int] * 6 + [str]


def test_a_process_that_cannot_be_started_or_dies_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path / "a.h5")
    monkeypatch.setattr(hdf5_trial, "_probe", None)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.warns(UserWarning, match=r"a\.h5 is read without a trial .*: /bin/false does not start it"):
        assert read_recording(path).frames


@pytest.mark.slow
def test_an_interrupt_while_a_file_is_tried_ends_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path / "a.h5")
    hdf5_trial.try_once(path)
    probe = hdf5_trial._probe
    assert probe is not None

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    with pytest.raises(KeyboardInterrupt):
        read_recording(endless(path))
    assert probe.process.returncode == -signal.SIGKILL
    assert read_recording(write_hdf5(tmp_path / "b.h5")).frames


def test_it_works_in_a_program_without_a_file_and_ends_with_it(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5")
    program = (
        "import sys; from connfit.recordings.readers import read_recording; from connfit._system import hdf5_trial\n"
        "read_recording(sys.argv[1]); print(hdf5_trial._probe.process.pid)"
    )
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(ran.stdout), 0)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    for read in (read_recording, Connectome.load):
        with pytest.raises(DataError, match=r"pipe\.h5: not a regular file"):
            read(tmp_path / "pipe.h5")


def test_everything_in_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        inner = file.create_group("group/inner")
        inner.attrs["named"] = "text"
        file["packed"] = np.arange(6.0)
        file.create_dataset("chunks", data=np.ones((50, 3)), chunks=(7, 3), compression="gzip")
        file.create_dataset("words", data=["a", "b"], dtype=h5py.string_dtype())
        file.create_dataset("refs", data=[inner.ref], dtype=h5py.ref_dtype)
        file["scalar"], file["none"] = 3, h5py.Empty("f8")
        file["again"] = h5py.SoftLink("/group")
    read: list[str] = []
    for kind in (h5py.Dataset, h5py.AttributeManager):
        original = kind.__getitem__

        def noted(self, key, *args, original=original, **options):
            read.append(self.name if isinstance(self, h5py.Dataset) else str(key))
            return original(self, key, *args, **options)

        monkeypatch.setattr(kind, "__getitem__", noted)
    # Here it reads in a process that does other things, too.
    monkeypatch.setattr("connfit._system.hdf5_probe.SECONDS", 600)
    limit = resource.getrlimit(resource.RLIMIT_CPU)
    try:
        read_all(path)
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, limit)
    assert set(read) == {"named", "/packed", "/chunks", "/words", "/refs", "/scalar", "/none"}
    with opened(path) as file:
        assert "words" in file


def test_what_the_system_refuses_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path / "a.h5")
    for error, said in (
        (OSError(5, "told by h5py"), "Input/output error"),
        (MemoryError(), "more memory than there is"),
    ):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("connfit._system.hdf5_guard.check_links", fail)
        with pytest.raises(DataError, match=said) as refused:
            read_recording(path)
        assert "damaged" not in str(refused.value)
