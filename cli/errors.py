"""What a person sees when something they gave cannot be used: one message and exit code 2, no traceback."""

import functools
import sys

import click

from aqa_cache.errors import AqaError, SaidElsewhere

from .torchrun import let_the_first_speak


def handle_errors(command):
    """Put directly under the options of a click command; turns `AqaError` into a message and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except SaidElsewhere as error:
            let_the_first_speak()
            click.echo(f"Error: {error}", err=True)  # still here: the first had nothing to say
            sys.exit(2)
        except AqaError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)

    return wrapped
