"""What every command has: `-h` for `--help`, and `--version`."""

import functools

import click

from aqa_cache import __version__


def command(*name: str, cls: type[click.Command] = click.Command, **settings):
    """As `click.command`, with `-h` and `--version`."""

    def made(function) -> click.Command:
        one = click.command(
            *name, cls=cls, context_settings={"help_option_names": ["-h", "--help"]}, **settings
        )
        return click.version_option(__version__, message="%(prog)s %(version)s")(one(function))

    return made


group = functools.partial(command, cls=click.Group)
