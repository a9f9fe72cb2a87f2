"""Read a pickle that somebody else made, without letting it run anything.

A pickle is a program: loading it calls whatever it names. This reader admits Python's own containers and
scalars, and the two names that numpy's scalars are written with; these two are read by code of our own, so
that no byte of the file reaches numpy.
"""

import io
import os
import struct
from pathlib import Path

from ..disk.plain_pickle import PlainUnpickler, Refused, check_content
from ..errors import AqaError, first_line

_MOST_BYTES = 1 << 28

_UNITS = {"f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_UNITS |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}


def load(path: str | Path) -> object:
    """Read a pickle of builtin containers and scalars.

    Args:
        path: a pickle of any protocol.

    Returns:
        What was pickled; numpy scalars arrive as the `int`, `float` or `bool` of the same value.

    Raises:
        AqaError: the file cannot be read, is not a whole pickle, names a global that is not admitted, or
            holds what is too large or too deep to be of use. Nothing in it has been run then.
    """

    def admit(module: str, name: str) -> type:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise AqaError(
                f"{path}: names the global {module}.{name}, which this reader refuses because loading"
                " it would run code; only containers, numbers, text and numpy scalars are admitted. Get the"
                " file from its authors again, and do not open it with pickle"
            ) from None

    try:
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > _MOST_BYTES:
                raise AqaError(f"{path}: has {size:,} bytes, expected a pickle of up to {_MOST_BYTES:,}")
            content = file.read()
        value = PlainUnpickler(io.BytesIO(content), admit).load()
        check_content(value, len(content))
        return value
    except AqaError:
        raise
    except Refused as error:
        raise AqaError(f"{path}: {error}; get the file again") from None
    except OSError as error:
        raise AqaError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle can raise anything at all
        raise AqaError(
            f"{path}: is not a whole pickle of plain containers and numbers ({type(error).__name__}:"
            f" {first_line(error)}); get the file again"
        ) from None


class _Dtype:
    """Stands in for `numpy.dtype`: keeps the type code and byte order, and nothing else."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, align: bool = False, copy: bool = False):
        self.code, self.order = code if isinstance(code, str) else type(code).__name__, "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Scalar:
    """Stands in for `numpy.core.multiarray.scalar`: the Python value of the bytes."""

    __slots__ = ()

    def __new__(cls, dtype: _Dtype, value: bytes) -> int | float | bool:
        if not isinstance(dtype, _Dtype) or dtype.code not in _UNITS:
            kind = getattr(dtype, "code", type(dtype).__name__)
            raise ValueError(f"a numpy scalar of type {kind!r:.60}, expected one of {', '.join(_UNITS)}")
        return struct.unpack(dtype.order + _UNITS[dtype.code], value)[0]

    def __setstate__(self, state: object) -> None:
        # Without this method a file could set attributes of the class itself (pickle's BUILD falls back to
        # setattr).
        raise TypeError("a numpy scalar has no state")


_ADMITTED = {
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "scalar"): _Scalar,
}
