"""What is said to a person who asks for Ray in a way that cannot be."""

import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from aqa_cache.errors import AqaError
from aqa_cache.machine.ray_cluster import connected
from aqa_cli.extract import main as extract


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray", "feats.h5"], "feats.h5 is a file: give a URL such as s3://bucket/parts"),
        (["--ray-address", "auto", "feats.h5"], "feats.h5 is a file"),
        (["--ray", "--shard", "1/2", "memory://parts"], "--ray and --shard exclude each other"),
        (["--ray-actors", "2", "memory://parts"], "--ray-actors is of --ray, which was not given"),
    ],
)
def test_wrong_usage(videos, arguments, said):
    result = CliRunner().invoke(extract, [str(videos), "--weights", "random", *arguments])
    assert result.exit_code == 2 and said in " ".join(result.stderr.split())


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AqaError, match=r"ray is needed for --ray.*pip install 'aqa-cache\[ray\]'"):
        connected().__enter__()


def test_the_client_of_ray_is_not_taken():
    with pytest.raises(AqaError, match="expected HOST:PORT or auto; .* ray job submit"):
        connected("ray://head:10001").__enter__()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("head", "expected HOST:PORT or auto"),
        ("head:0", "expected HOST:PORT or auto"),
        ("127.0.0.1:1", r"cannot be reached \(Connection refused\)"),
    ],
)
def test_an_address_where_nothing_is(monkeypatch, address, said):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    with pytest.raises(AqaError, match=f"--ray-address {address}: {said}"):
        connected(address).__enter__()
