"""What a machine fails with is one message."""

import errno
import os

import click
import pytest
from click.testing import CliRunner

from aqa_cli.command import command
from aqa_cli.errors import handle_errors


def out_of_memory():
    import torch

    return torch.empty(2**60)


def library():
    raise ImportError("libtorch_cpu.so: failed to map segment from shared object", name="_C", path="_C.so")


def raising(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (lambda: os.stat("x" * 300), "x: cannot be used (File name too long)"),
        (
            raising(PermissionError(errno.EACCES, "Permission denied", "runs/a")),
            "runs/a: cannot be used",
        ),
        (
            raising(IsADirectoryError(errno.EISDIR, "Is a directory", b"\xff")),
            r"\xff: cannot be used",
        ),
        (raising(OSError(errno.ENOSPC, "No space left on device")), "failed (No space left on device)"),
        (raising(MemoryError()), "there is not enough memory (MemoryError)"),
        (out_of_memory, "there is not enough memory ("),
        (raising(RuntimeError("can't start new thread")), "the system starts no further thread"),
        (lambda: "a\udcff".encode(), r"a\xff: cannot be written in utf-8"),
        (library, "a library cannot be loaded (libtorch_cpu.so: failed to map"),
        (raising(ModuleNotFoundError("No module named 'h5py'", name="h5py")), "a library cannot be loaded"),
    ],
)
def test_what_the_machine_refuses_is_one_message(fail, said):
    @command()
    @handle_errors
    def main():
        fail()

    result = CliRunner().invoke(main)
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit)
    assert result.output.startswith("Error: ") and said in result.output and result.output.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        ValueError("our own"),
        ImportError("cannot import name 'x'", name="aqa_cache.x"),
        click.UsageError("no such option"),
    ],
)
def test_bugs_of_ours_and_what_click_says_stay_what_they_are(error):
    with pytest.raises(type(error)):
        handle_errors(raising(error))()
