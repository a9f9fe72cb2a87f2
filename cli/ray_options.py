"""The options of Ray, which several commands have."""

import functools
from dataclasses import dataclass

import click

_OPTIONS = (
    click.option(
        "--ray",
        is_flag=True,
        help="Work in processes of Ray, here or on the cluster that RAY_ADDRESS names (extra ray).",
    ),
    click.option(
        "--ray-address",
        metavar="HOST:PORT|auto",
        help="The cluster, and --ray; auto: the one that runs on this machine.",
    ),
    click.option(
        "--ray-actors",
        type=click.IntRange(1),
        metavar="N",
        help=(
            "With --ray: at most so many processes at once, by default as many as the cluster has room for;"
            " where that is less than N, Ray adds nodes, if it can."
        ),
    ),
    click.option(
        "--ray-attempts",
        type=click.IntRange(1),
        default=3,
        show_default=True,
        metavar="N",
        help="With --ray: what N processes died with fails.",
    ),
)


@dataclass(frozen=True)
class RayAsked:
    """What a person asked of Ray; the fields are the options."""

    address: str | None
    actors: int | None
    attempts: int


def ray_options(command):
    """Add the options to a command, which gets `ray`: a `RayAsked`, or None."""

    @functools.wraps(command)
    def with_ray(ray, ray_address, ray_actors, ray_attempts, **others):
        if not (ray or ray_address):
            if ray_actors:
                raise click.UsageError("--ray-actors is of --ray, which was not given.")
            return command(ray=None, **others)
        return command(ray=RayAsked(ray_address, ray_actors, ray_attempts), **others)

    for option in reversed(_OPTIONS):
        with_ray = option(with_ray)
    return with_ray


def actors_of(ray: RayAsked, output, shard):
    """Those that are to do an extraction into a place."""
    from aqa_cache.fleet.ray_crew import RayActors

    if not isinstance(output, str):
        raise click.UsageError(
            f"--ray puts parts into a place that all nodes see, and {output} is a file: give a URL such as"
            " s3://bucket/parts or file:///shared/parts, and then aqa-data merge PLACE FEATS.h5."
        )
    if shard:
        raise click.UsageError("--ray and --shard exclude each other: the actors share everything.")
    return RayActors(ray.address, ray.actors, ray.attempts)
