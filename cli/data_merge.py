"""aqa-data merge: publish what the shares of an extraction have finished."""

import sys

import click

from aqa_cache.errors import some
from aqa_cache.logs import log_failures
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PlaceName, cache_size_option, dtype_option
from aqa_cli.terminal import print_line, say


@command(
    epilog="""\b
    Example:
      aqa-data merge feats.h5
      aqa-data merge s3://bucket/parts feats.h5"""
)
@click.argument("names", metavar="[PLACE] FEATS.h5", nargs=-1, required=True, type=PlaceName())
@dtype_option
@cache_size_option
@click.option(
    "--allow-mixed", is_flag=True, help="Accept parts made with different devices, precisions or libraries."
)
@handle_errors
def merge(names, dtype, cache_bytes, allow_mixed):
    """Publish the parts of an extraction whose processes have ended.

    The last shard of an extraction on one disk publishes by itself; this is for one that was lost. PLACE is
    the URL that aqa-extract was given in place of FEATS.h5: its parts are checked and stay. Samples that
    nobody has extracted are in the file with that as the reason; running aqa-extract again adds them.

    Exit code: 0 all samples have features; 1 some have none, each is listed; 2 nothing is written.
    """
    place, features = _place_and_features(names)
    if place is None:
        from aqa_cache.extraction.publishing import merge as merge_parts

        published = merge_parts(features, dtype=dtype, allow_mixed=allow_mixed)
    else:
        published = _merge_place(place, features, dtype, cache_bytes, allow_mixed)
    if published is None:
        sys.exit(2)
    without = len(published.failures) + len(published.missing)
    print_line(f"{features}: {published.samples - without} of {published.samples} samples have features.")
    log_failures(published.failures)
    if published.missing:
        say(
            f"{len(published.missing)} sample(s) have not been extracted yet: run aqa-extract again to go on."
            f" They are: {some(published.missing)}"
        )
    sys.exit(1 if without else 0)


def _place_and_features(names):
    """The URL, None where there is none, and the path of the cache."""
    from aqa_cache.remote.url import is_url

    if len(names) > 2:
        raise click.UsageError(
            f"{len(names)} names are given, expected a PLACE and FEATS.h5, or FEATS.h5 alone."
        )
    if is_url(names[-1]):
        raise click.UsageError(
            f"{names[-1]} is given as the cache to write, expected the name of a file: aqa-data merge"
            f" {names[-1]} feats.h5"
        )
    if len(names) == 1:
        return None, names[0]
    if not is_url(names[0]):
        raise click.UsageError(
            f"PLACE is {str(names[0])!r}, expected a URL such as s3://bucket/parts or file:///mnt/parts;"
            f" parts beside {names[1]} need none: aqa-data merge {names[1]}"
        )
    return names


def _merge_place(place, features, dtype, cache_bytes, allow_mixed):
    from aqa_cache.fleet.merging import merge_place

    return merge_place(place, features, dtype=dtype, allow_mixed=allow_mixed, cache_bytes=cache_bytes)
