"""A pickle that somebody else made, read without letting it run anything, or take time and memory without
end.

A pickle is a program: loading it calls whatever it names. Here it names what its reader admits, and works
with containers, numbers and text alone. What it costs is bounded by its length: containers that hold each
other twice, and so are exponentially large when they are printed, compared or hashed, are refused.
"""

import pickle
from collections.abc import Callable
from typing import IO, Any

_MOST_LEVELS = 32
_MOST_INTEGER_BYTES = 64
# Values in containers for each byte of the file, a shared one counted each time; a plain pickle has about
# one.
_MOST_GAIN = 16
_MOST_KEY = 16  # values in a tuple that is a key
_SCALARS = (str, bytes, int, float, type(None))

# Of protocols 0 to 5, what makes builtin containers, numbers and text, and calls of what is admitted.
_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID
""".split()
_CODES = {getattr(pickle, name)[0] for name in _OPCODES}


class Refused(Exception):
    """What a pickle holds, in words."""


class PlainUnpickler(pickle._Unpickler):
    """Reads one pickle.

    Args:
        file: `read` and `readline` give no more than there is.
        admit: given module and name of a global, gives what stands in for it, or raises.
    """

    def __init__(self, file: IO[bytes], admit: Callable[[str, str], Any]):
        super().__init__(file)
        self._admit = admit

    def find_class(self, module: str, name: str) -> Any:
        return self._admit(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("refers to what is not in it")

    def load_long1(self) -> None:
        self._check_integer(self.read(1))

    def load_long4(self) -> None:
        self._check_integer(self.read(4))

    def _check_integer(self, length: bytes) -> None:
        if (count := int.from_bytes(length, "little")) > _MOST_INTEGER_BYTES:
            raise Refused(f"holds an integer of {count:,} bytes, expected up to {_MOST_INTEGER_BYTES}")
        self.append(int.from_bytes(self.read(count), "little", signed=True))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._set(self.stack[-1], items)

    def load_dict(self) -> None:
        items, made = self.pop_mark(), {}
        self._set(made, items)
        self.append(made)

    def _set(self, target: Any, items: list) -> None:
        if not isinstance(target, dict):
            raise Refused(f"sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            check_key(key)
            target[key] = value

    dispatch = {code: method for code, method in pickle._Unpickler.dispatch.items() if code in _CODES}
    dispatch |= {
        pickle.LONG1[0]: load_long1,
        pickle.LONG4[0]: load_long4,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def check_key(key: Any) -> None:
    """Whether hashing a key of a container ends.

    Raises:
        Refused: it is more than a number, a text, or a few of them.
    """
    parts = key if isinstance(key, tuple) and len(key) <= _MOST_KEY else (key,)
    if not all(isinstance(part, _SCALARS) for part in parts):
        raise Refused(
            f"has a key that is a {type(key).__name__}, expected a number, a text, or a few of them"
        )


def check_content(content: Any, length: int) -> None:
    """Whether what a pickle of `length` bytes holds can be printed, compared and written.

    Raises:
        Refused: it lies too deep, is larger than its file, or has text that is no Unicode or holds a NUL.
    """
    level, left = [content], _MOST_GAIN * (length + 64)
    for _ in range(_MOST_LEVELS):
        inner: list = []
        for value in level:
            if isinstance(value, dict):
                inner += value.keys()
                inner += value.values()
            elif isinstance(value, list | tuple):
                inner += value
            elif isinstance(value, str):
                _check_text(value)
            left -= 1
            if len(inner) > left:
                raise Refused("holds itself, or the same so often that it is without end")
        if not inner:
            return
        level = inner
    raise Refused(f"is nested deeper than {_MOST_LEVELS} levels")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"holds {text!r:.60}, which is no Unicode text") from None
    if "\0" in text:
        raise Refused(f"holds {text!r:.60}, a text with a NUL")
