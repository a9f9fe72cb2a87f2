"""Google's and Azure's stores on this machine, each with an empty bucket `aqa`, and what they answer."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from places import ROOT

AZURITE = os.environ.get("AQA_AZURITE") or shutil.which("azurite-blob")
"""The program; docs/clusters.md says how to have it."""
# Everybody's, of the emulator.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def _load_local_s3() -> Any:
    """benchmarks/local_s3.py, which is no package."""
    spec = importlib.util.spec_from_file_location("local_s3", ROOT / "benchmarks" / "local_s3.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["local_s3"] = module
    spec.loader.exec_module(module)
    return module


local_s3 = _load_local_s3()


@dataclass(frozen=True)
class Store:
    """Which store, and what the proxy before it knows of it.

    Args:
        protocol: of its URLs; module: of its library.
        answers, uploads: as of `local_s3.Faults`.
    """

    protocol: str
    module: str
    answers: dict
    uploads: tuple[str, ...]

    def serving(self) -> contextlib.AbstractContextManager[str]:
        """A server in the block, which keeps all in memory; gives its address."""
        return _serving(_GOOGLE if self.protocol == "gs" else _AZURE)

    def settings(self, address: str) -> dict[str, str]:
        """The environment by which the store's library finds it."""
        if self.protocol == "gs":
            return {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true"}
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": _ACCOUNT,
            "AccountKey": _KEY,
            "BlobEndpoint": f"{address}/{_ACCOUNT}",
        }
        return {"AZURE_STORAGE_CONNECTION_STRING": ";".join(map("=".join, parts.items()))}


def _json(status: int, message: str) -> tuple:
    content = json.dumps({"error": {"code": status, "message": message}})
    return status, [("Content-Type", "application/json")], content.encode()


_GOOGLE = [
    sys.executable,
    "-m",
    "gcp_storage_emulator",
    "start",
    "--in-memory",
    "--default-bucket=aqa",
    "--port",
]
# The library asks for a newer version of the protocol than the emulator knows, for nothing that is used.
_AZURE = [str(AZURITE), "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort"]


@contextlib.contextmanager
def _serving(command: list[str]) -> Iterator[str]:
    (port,) = local_s3.free_ports(1)
    server = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        local_s3.await_server(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


_xml = local_s3.xml_answer
GOOGLE = Store(
    "gs",
    "gcsfs",
    {
        "500": _json(500, "Backend Error"),
        "503": _json(503, "Service Unavailable"),
        "expired": _json(401, "Invalid Credentials"),
        "denied": _json(403, "someone does not have storage.objects.create access to the object."),
        "anonymous": _json(401, "Anonymous caller does not have storage.objects.create access."),
    },
    ("POST",),
)
AZURE = Store(
    "az",
    "adlfs",
    {
        "500": _xml(500, "InternalError", "The server encountered an internal error."),
        "503": _xml(503, "ServerBusy", "The server is currently unable to receive requests."),
        "expired": _xml(
            401, "InvalidAuthenticationInfo", "Lifetime validation failed. The token is expired."
        ),
        "denied": _xml(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        ),
        "anonymous": _xml(401, "NoAuthenticationInformation", "Server failed to authenticate the request."),
    },
    ("PUT",),
)
