"""What every command has: `-h` for `--help`, `--version`, and output that cannot fail."""

import functools

import click

from aqa_cache import __version__

from .terminal import logged_lines, own_streams


class Command(click.Command):
    def main(self, *args, **settings):
        with own_streams(), logged_lines():
            return super().main(*args, **settings)


class Group(Command, click.Group):
    pass


def command(*name: str, cls: type[Command] = Command, **settings):
    """As `click.command`, with `-h` and `--version`."""

    def made(function) -> click.Command:
        one = click.command(
            *name, cls=cls, context_settings={"help_option_names": ["-h", "--help"]}, **settings
        )
        return click.version_option(__version__, message="%(prog)s %(version)s")(one(function))

    return made


group = functools.partial(command, cls=Group)
