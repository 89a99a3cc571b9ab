# SPDX-License-Identifier: Apache-2.0
"""Files that appear when they are whole, and locks: what two runs would write at once, one of them writes."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator
from typing import IO, Any

from ..errors import FailedPrecondition

# What file systems of clusters say that are mounted without locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(file: IO[Any], what: str) -> Iterator[None]:
    """Raises FailedPrecondition, naming `what`, where another run has the file locked. Ends with the process, too.

    Where there are no such locks, two runs at once are the caller's to avoid.
    """
    try:
        import fcntl
    except ImportError:  # no POSIX
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_locked = True
    except BlockingIOError:
        raise FailedPrecondition(f"another run is using {what}") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        is_locked = False
    try:
        yield
    finally:
        if is_locked:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing alone would leave it to processes that were forked meanwhile


@contextlib.contextmanager
def whole_file(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """A file to write, which appears at `path` at the end of the block; not at all where the block raises.

    Raises FailedPrecondition where another run is writing it.
    """
    partial = path.with_name(path.name + ".partial")
    with open(partial, "ab") as file, locked(file, str(path)):  # not "wb": it may be another run's
        if not (partial.exists() and os.path.samestat(partial.stat(), os.fstat(file.fileno()))):
            raise FailedPrecondition(f"another run has just written {path}")  # between the opening and the lock
        file.seek(0)
        file.truncate()
        try:
            yield file
            file.flush()
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
