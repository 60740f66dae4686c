"""Readers of recordings, one file a format; each returns a `connfit.recordings.Recording`.

To add a format, put a module with a function of a path into this folder, with the help of `frames`, and register a
`Reader` there; other packages name theirs under the entry points `connfit.readers`.
"""

from connfit.recordings.readers.reader import READERS, Reader, find_reader, read_recording

__all__ = ["READERS", "Reader", "find_reader", "read_recording"]
