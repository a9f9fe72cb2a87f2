import errno
import os
import shutil
import subprocess
import sys

import h5py
import pytest
from small_extraction import CONFIG, contents
from synthetic_cache import write_synthetic_cache

from aqa_cache.cache_file import structure
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.verification import verify
from aqa_cache.disk.hdf5 import open_hdf5
from aqa_cache.errors import CacheBusy, CacheError
from aqa_cache.extraction.parts import folder_of
from aqa_cache.extraction.run import extract

# As NFS without its lock daemon, and others: the call that locks is there and fails.
NO_LOCKS = """
#include <errno.h>
#include <stdlib.h>
int flock(int handle, int operation) { errno = atoi(getenv("LOCKERR")); return -1; }
"""
HOLD = "import h5py, sys; file = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.read()"


@pytest.fixture
def notebook():
    """Opens a file for writing in another process, until it is closed."""
    processes = []

    def opens(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout.readline() == "open\n"
        return process

    yield opens
    for process in processes:
        process.communicate()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc, to take the locks away")
@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_caches_are_read_on_a_file_system_without_locks(tmp_path, error):
    (tmp_path / "nolock.c").write_text(NO_LOCKS)
    library = tmp_path / "nolock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "nolock.c"], check=True)
    cache = write_synthetic_cache(tmp_path / "feats.h5")
    code = (
        "import sys; from aqa_cache.cache_file.reader import FeatureCache;"
        " print(len(FeatureCache(sys.argv[1]).features(0)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(cache)],
        env={**os.environ, "LD_PRELOAD": str(library), "LOCKERR": str(error)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == f"{len(FeatureCache(cache).features(0))}\n", result.stderr


def test_an_extraction_without_locks_is_published_and_says_so_once(videos, output, monkeypatch, said):
    really = h5py.File

    def without_locks(path, mode="r", locking=None, **options):
        if mode == "r" and locking is not False and not hasattr(path, "read"):
            raise OSError(errno.ENOLCK, "unable to lock file, errno = 37")
        return really(path, mode, locking=locking, **options)

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("h5py.File", without_locks)
    monkeypatch.setattr("fcntl.flock", refuse)
    assert not extract(videos, output, CONFIG).failures
    (line,) = [line for line in said if "knows no locks" in line]
    assert line.startswith(f"{folder_of(output)}: its file system knows no locks")
    assert all(record.ok for record in contents(output).values())


def test_a_cache_that_a_notebook_writes_to_is_busy_and_not_damaged(videos, output, notebook):
    extract(videos, output, CONFIG)
    before = output.read_bytes()
    holder = notebook(output)
    for use in (FeatureCache, verify, open_hdf5, lambda path: extract(videos, path, CONFIG)):
        with pytest.raises(CacheBusy) as error:
            use(output)
        assert str(error.value) == (
            f"{output}: is open for writing in another program, such as a notebook; close it there"
            " (file.close(), or stop its kernel) and run this again. Nothing was changed."
        )
    holder.communicate()
    assert output.read_bytes() == before and extract(videos, output, CONFIG).clips == 0


def test_what_was_extracted_while_a_notebook_had_the_cache_is_kept(videos, output, tmp_path, notebook):
    shutil.copytree(videos, tmp_path / "in")
    extract(tmp_path / "in", output, CONFIG)
    os.utime(tmp_path / "in" / "0.mp4", ns=(0, 0))
    holders = []
    with pytest.raises(CacheBusy, match=f"What was extracted is kept in {folder_of(output)}; the next run"):
        extract(
            tmp_path / "in",
            output,
            CONFIG,
            progress=lambda state: holders.append(notebook(output)) if not holders else None,
        )
    holders[0].communicate()
    assert extract(tmp_path / "in", output, CONFIG).clips == 0 and not folder_of(output).exists()


def test_a_file_that_may_not_be_read_is_not_called_something_else(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "feats.h5").touch()
    monkeypatch.setattr(structure, "open_hdf5", refuse)
    with pytest.raises(CacheError, match=r"feats.h5: cannot be read \(.*Permission denied\); see that"):
        FeatureCache(tmp_path / "feats.h5")
