"""Drives without locks: some network drives of clusters (NFS without its lock service, Lustre without `flock`)."""

from __future__ import annotations

import errno
from pathlib import Path

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""How such drives answer who asks for a lock."""


def has_locks(path: Path) -> bool:
    """Return whether files can be locked where `path` is, which is made if it is absent."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            raise
    return True
