"""Options that several commands have, and the type of paths."""

from pathlib import Path

import click

from aqa_cache.errors import AqaError
from aqa_cache.extraction.configuration import DTYPES
from aqa_cache.remote.url import is_url


class Several(click.ParamType):
    """Values of a kind with commas between them: a tuple of them, or the only one."""

    def __init__(self, kind: click.ParamType | type):
        self.kind = click.types.convert_type(kind)
        self.name = self.kind.name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"{self.name.split()[0].upper()}[,…]"

    def convert(self, value, param: click.Parameter | None, ctx: click.Context | None):
        if not isinstance(value, str):
            return value
        values = tuple(
            self.kind.convert(part.strip(), param, ctx) for part in value.split(",") if part.strip()
        )
        if not values:
            self.fail("is empty; give a value", param, ctx)
        return values[0] if len(values) == 1 else values


class PathName(click.Path):
    """The path of a file or folder, as a `Path`; an empty one, which would be the current folder, is refused.

    Args:
        settings: of `click.Path`.
    """

    def __init__(self, **settings):
        super().__init__(path_type=Path, **settings)

    def convert(self, value, param, ctx):
        if not str(value).strip():
            self.fail("is empty, expected the name of a file or folder", param, ctx)
        return super().convert(value, param, ctx)


class PlaceName(PathName):
    """A URL as text, or the path of a file or folder as a `Path`."""

    def convert(self, value, param, ctx):
        return value if is_url(value) else super().convert(value, param, ctx)


def _size(_context, _parameter, value: str | None) -> int:
    from aqa_cache.remote.fetched import MOST_BYTES, parse_size

    try:
        return MOST_BYTES if value is None else parse_size(value)
    except AqaError as error:
        raise click.BadParameter(str(error)) from None


cache_size_option = click.option(
    "--cache-size",
    "cache_bytes",
    callback=_size,
    metavar="SIZE",
    help="Of files from a URL, how much is on this machine at once, such as 500MB or 2TB; by default 20GB.",
)


def _columns(_context, _parameter, value: str | None):
    from aqa_cache.annotations import Columns

    try:
        return Columns.parse(value)
    except AqaError as error:
        raise click.BadParameter(str(error)) from None


columns_option = click.option(
    "--columns",
    callback=_columns,
    metavar="KNOWN=YOURS,…",
    help=(
        "Columns of the annotations table with other names than docs/annotations.md has, and times in place"
        " of frames: final_score=Punkte,start=Begin,end=Ende,unit=s (s, ms or frame; none for 1:05.2)."
    ),
)

dtype_option = click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="Type of the stored features; auto: float16 unless a value does not fit, then float32.",
)
