"""The same laws against a local S3, through s3fs, with a proxy that lets requests fail."""

import pytest
from fleets import everything, one_machine, tiny_fleet
from local_stores import local_s3

from aqa_cache.cache_file.joined import open_caches
from aqa_cache.fleet.driver import extract_to_place
from aqa_cache.fleet.merging import merge_place
from aqa_cache.remote.place import Place
from aqa_cache.remote.trouble import StoreError

pytestmark = pytest.mark.extra
pytest.importorskip("moto")
s3fs = pytest.importorskip("s3fs")


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_s3.KEYS.items():
            patch.setenv(name, value)
        yield patch


@pytest.fixture(scope="module")
def faults(patch):
    """What the store does wrong; its address is that of the proxy."""
    faults = local_s3.Faults()
    with local_s3.serving() as address, local_s3.faulty(address, faults) as proxy:
        patch.setenv("AWS_ENDPOINT_URL", proxy)
        s3fs.S3FileSystem.clear_instance_cache()
        yield faults
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def config(tmp_path_factory, patch):
    return tiny_fleet(tmp_path_factory.mktemp("fleet"), patch)


@pytest.fixture(scope="module")
def uploaded(videos, faults):
    place = Place("s3://aqa/videos")
    for path in videos.iterdir():
        place.put(path, path.name)
    return place.url


def test_a_store_that_fails_gives_what_one_machine_gives(videos, uploaded, faults, config, tmp_path):
    alone = one_machine(videos, tmp_path / "alone.h5", config)
    faults.kinds, faults.share, faults.seconds = ("500", "drop", "503", "cut", "slow"), 0.25, 0.2
    result = extract_to_place(uploaded, "s3://aqa/parts", config)
    assert result.done == 11 and not result.failures and {"500", "drop"} <= faults.injected.keys()
    merge_place("s3://aqa/parts", tmp_path / "merged.h5")
    faults.kinds = ()
    assert everything(tmp_path / "merged.h5") == alone
    assert extract_to_place(uploaded, "s3://aqa/parts", config).reused == 11
    Place("s3://aqa").put(tmp_path / "merged.h5", "feats.h5")
    with open_caches("s3://aqa/feats.h5") as cache:
        assert len(cache) == 11


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("expired", "the credentials have expired; renew them"),
        ("skewed", "this machine's clock is wrong"),
        ("denied", "no permission"),
    ],
)
def test_what_the_store_refuses_is_one_message(faults, tmp_path, kind, message):
    (tmp_path / "a").write_bytes(b"a")
    faults.kinds, faults.share, faults.only = (kind,), 1.0, ("PUT",)
    with pytest.raises(StoreError, match=message):
        Place("s3://aqa/refused").put(tmp_path / "a", "a")
    faults.kinds, faults.only = (), ()
    assert Place("s3://aqa/refused").items() == []


def test_a_bucket_that_is_not_there(faults):
    with pytest.raises(StoreError, match="s3://none/parts: cannot list it: there is no such bucket"):
        Place("s3://none/parts").items()
