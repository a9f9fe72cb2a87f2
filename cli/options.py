"""Options that several commands have."""

import click

from aqa_cache.extraction.configuration import DTYPES


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


dtype_option = click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="Type of the stored features; auto: float16 unless a value does not fit, then float32.",
)
