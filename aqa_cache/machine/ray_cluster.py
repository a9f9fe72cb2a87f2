"""A Ray cluster: one that runs, or one on this machine for as long as it is needed."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from ..errors import AqaError, first_line, missing

# What goes between processes is small; the least that Ray takes is 75 MiB.
_STORE_BYTES = 128 << 20
_PATIENCE = 10.0  # seconds


def import_ray() -> Any:
    """The library; nobody is told that it runs.

    Raises:
        MissingDependency: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As Ray will do by itself: a process that asks for no GPU is left as it is.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise missing("ray", "--ray", error, "'aqa-cache[ray]'") from None
    return ray


@contextlib.contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """The library in a block in which it is connected to a cluster; left as it was where it is already.

    Args:
        address: of a cluster, `auto` for the one that runs on this machine; None: that of `RAY_ADDRESS`, else
            one is started on this machine and ended with the block.

    Raises:
        MissingDependency: Ray is not installed.
        AqaError: there is no such cluster, or it is of other versions.
    """
    if address is not None and address.startswith("ray://"):
        raise AqaError(
            f"--ray-address {address}: is for Ray's client, expected HOST:PORT or auto; start the command on"
            " a machine of the cluster, such as by: ray job submit"
        )
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        _check_reached(address)
    settings = {} if address else {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    with _signals_as_they_are():
        try:
            ray.init(address or "local", log_to_driver=False, logging_level="error", **settings)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            where = f"--ray-address {address}" if address else "Ray on this machine"
            raise AqaError(
                f"{where}: cannot be used ({first_line(error)}); see with `ray status` whether it runs, and"
                " that Python and Ray have the same versions there"
            ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reached(address: str) -> None:
    """Ray itself tries for minutes.

    Raises:
        AqaError: the address is none, or nobody answers at it.
    """
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise AqaError(f"--ray-address {address}: expected HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except OSError as error:
        raise AqaError(
            f"--ray-address {address}: cannot be reached ({error.strerror or error}); on the cluster's head,"
            " `ray status` says whether it runs, and auto finds it"
        ) from None


@contextlib.contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it connects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
