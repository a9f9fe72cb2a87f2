"""HDF5 files opened for reading, on file systems with locks and without."""

import errno
from pathlib import Path

import h5py

from ..errors import CacheBusy

_HELD = (errno.EAGAIN, errno.EACCES)


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading, locked against writers where the file system has locks.

    Where it has none (some of NFS, of clusters, of containers), the file is read without: ours are never
    written in place.

    Raises:
        CacheBusy: another program has it open for writing, and what is read could change under our hands.
        OSError: it is not there, not an HDF5 file, or cannot be read.
    """
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        if "unable to lock" not in str(error):
            raise
        if error.errno in _HELD:
            raise CacheBusy(
                f"{path}: is open for writing in another program, such as a notebook; close it there"
                " (file.close(), or stop its kernel) and run this again. Nothing was changed."
            ) from None
    return h5py.File(path, "r", locking=False)
