"""What a person may name beside what comes with this program: a backbone, an encoder, a score head, a loss, a
dataset importer of their own.

One grammar for every such option. A name is

1. one that comes with the program, was registered in this process, or is an entry point of an installed
   package;
2. else `hf:ORG/NAME`, `hf:FOLDER`, `timm:NAME` or `timm:FOLDER`, of backbones only;
3. else `MODULE:ATTRIBUTE`, looked for as Python does, the current folder first.

Names go into caches and runs, and files come from others: so nothing is ever imported because a file names
it. `give` is for what a person asks for, and imports; `find` is for what a file says, and only looks among
what is known.
"""

import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .errors import AqaError, first_line

_MODULE_ATTRIBUTE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
ELSEWHERE = ("hf:", "timm:")
"""What names of networks of other libraries begin with."""


class Extensions:
    """The names that one option takes beside those that come with the program.

    Args:
        what: it names, such as `score head`; the option is then `--score-head`.
        group: of entry points in which installed packages offer some.
        built_in: names that come with the program; what they stand for is not kept here.
        expected: what a name must stand for, in words.
        fits: whether a value is that.
        option: where it is not `what` with two dashes.
        error: the kind of error that is raised.
        elsewhere: what `hf:…` and `timm:…` stand for, with a `name` by which it is known; None: they are no
            names of this option.

    Attributes:
        registered (dict): what is known in this process, by name.

    Example::

        KNOWN_SCORE_HEADS.register("mine", MyHead)  # known in this process by this name
        KNOWN_SCORE_HEADS.give("my_heads:MyHead")  # imported, and known by this name from now on
    """

    def __init__(
        self,
        what: str,
        group: str,
        built_in: Collection[str],
        expected: str,
        fits: Callable[[Any], bool],
        *,
        option: str | None = None,
        error: type[AqaError] = AqaError,
        elsewhere: Callable[[str], Any] | None = None,
    ):
        self.what, self.group, self.option = what, group, option or f"--{what.replace(' ', '-')}"
        self._built_in, self._expected, self._fits = tuple(built_in), expected, fits
        self._error, self._elsewhere = error, elsewhere
        self.registered: dict[str, Any] = {}
        self._spelt: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """All that are known: built in, registered, of installed packages."""
        return list(dict.fromkeys((*self._built_in, *self.registered, *self._entry_points())))

    @property
    def choices(self) -> str:
        """For a message: what may be given."""
        return ", ".join((*self.names, f"{'or ' * bool(self.names)}MODULE:ATTRIBUTE"))

    def register(self, name: str, value: object) -> None:
        """Make `value` known by this name in this process, in place of another one that was.

        Raises:
            AqaError: the name comes with the program, or `value` is not what it has to be.
        """
        if name in self._built_in:
            raise self._error(
                f"{name!r} is the name of a {self.what} that comes with this program; choose another name"
            )
        self.registered[name] = self._checked(name, value)

    def give(self, name: str) -> str:
        """Make what a person asked for known, importing it where that is what its name says.

        Returns:
            The name by which it is known; for networks of other libraries it is a shorter one.

        Raises:
            AqaError: there is no such name, module or attribute, importing it fails, or it stands for
                something else.
        """
        if name in self._built_in or name in self.registered:
            return name
        if name.startswith(ELSEWHERE):
            if self._elsewhere is None:
                raise self._error(
                    f"{self.what} is {name!r}, but {name.split(':')[0]}: names backbones only; give one of"
                    f" {self.choices}"
                )
            value = self._elsewhere(name)
            self.registered[value.name] = self._checked(name, value)
            self._spelt[value.name] = name
            return value.name
        if _MODULE_ATTRIBUTE.fullmatch(name):
            self.registered[name] = self._checked(name, self._imported(name))
        elif not self.knows(name):
            raise self._error(
                f"{self.what} is {name!r}, expected {'one of ' * bool(self.names)}{self.choices}"
            )
        return name

    def spelt(self, name: str) -> str:
        """As the person spelt it who asked for what is known by `name`: another process can `give` that."""
        return self._spelt.get(name, name)

    def knows(self, name: str) -> bool:
        """Whether a file may name it here: it is built in, registered or given, or an installed package's."""
        return name in self._built_in or name in self.registered or name in self._entry_points()

    def find(self, name: str) -> Any:
        """What a name stands for that is not built in; imports nothing but entry points of that name.

        Raises:
            AqaError: it is not known here, or its entry point is none.
        """
        if name not in self.registered:
            if (entry := self._entry_points().get(name)) is None:
                raise self._error(self.unknown(name))
            self.registered[name] = self._checked(name, self._loaded(entry))
        return self.registered[name]

    def unknown(self, name: str) -> str:
        """What is to be said of a name that a file gives and nobody here knows."""
        if self._elsewhere is not None and name.startswith(ELSEWHERE):
            return (
                f"the {self.what} {name!r} is not known here, and nothing is fetched or read because a file"
                f" names it; give {self.option} again, with its folder or its whole name on the Hub"
            )
        if _MODULE_ATTRIBUTE.fullmatch(name):
            return (
                f"the {self.what} {name!r} is not known here, and nothing is imported because a file names"
                f" it; give {self.option} {name} again"
            )
        return (
            f"the {self.what} {name!r} is not known here, only {', '.join(self.names)}; install the package"
            " that brings it, or register it as the program did that used it"
        )

    def _imported(self, name: str) -> object:
        module_name, attributes = name.split(":")
        with _current_folder_first():
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                    raise self._failed(name, module_name, error) from error
                raise self._error(
                    f"{self.option} {name}: there is no module {error.name}, in {Path.cwd()} or where Python"
                    " looks for modules; start from its folder, or install it"
                ) from None
            except (Exception, SystemExit) as error:
                raise self._failed(name, module_name, error) from error
        value = module
        for attribute in attributes.split("."):
            try:
                value = getattr(value, attribute)
            except AttributeError:
                where = getattr(module, "__file__", None) or module_name
                raise self._error(
                    f"{self.option} {name}: {where} has no {attributes}; give the name of what it defines"
                ) from None
        return value

    def _failed(self, name: str, module: str, error: BaseException) -> AqaError:
        return self._error(
            f"{self.option} {name}: importing {module} failed ({type(error).__name__}: {first_line(error)});"
            f" try: python -c 'import {module}'"
        )

    def _loaded(self, entry: EntryPoint) -> object:
        try:
            return entry.load()
        except (Exception, SystemExit) as error:
            package = entry.dist.name if entry.dist is not None else entry.value
            raise self._error(
                f"{self.what} {entry.name!r} of the package {package}: importing {entry.value} failed"
                f" ({type(error).__name__}: {first_line(error)}); mend or remove the package"
            ) from error

    def _checked(self, name: str, value: object) -> object:
        if not self._fits(value):
            kind = f"a class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
            raise self._error(f"{self.what} {name}: is {kind}, expected {self._expected}")
        return value

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group)}


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """As `python -m` has it; afterwards last, so that what a module imports later is still found."""
    here = str(Path.cwd())
    importlib.invalidate_caches()
    known = here in sys.path
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        if not known:
            sys.path.append(here)
