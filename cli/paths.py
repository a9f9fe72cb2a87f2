"""Paths as options and arguments take them."""

from pathlib import Path

import click


class NamedPath(click.Path):
    """A path that has a name: an empty one, of a shell variable that is not set, say, would be the folder one
    is in.
    """

    def __init__(self):
        super().__init__(path_type=Path)

    def convert(self, value, parameter, context):
        if not str(value).strip():
            self.fail("is empty, expected the name of a file or folder", parameter, context)
        return super().convert(value, parameter, context)
