"""The laws of test_s3.py against emulators of Google's and Azure's stores, through gcsfs and adlfs."""

import threading

import fsspec
import pytest
from fleets import everything, one_machine, tiny_fleet
from local_stores import AZURE, AZURITE, GOOGLE, local_s3

from aqa_cache.cache_file.joined import open_caches
from aqa_cache.fleet.driver import extract_to_place
from aqa_cache.fleet.merging import merge_place
from aqa_cache.remote.place import Place
from aqa_cache.remote.trouble import StoreError

pytestmark = pytest.mark.extra


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", params=[GOOGLE, AZURE], ids=["google", "azure"])
def store(request):
    pytest.importorskip(request.param.module)
    if request.param is GOOGLE:
        pytest.importorskip("gcp_storage_emulator")
    elif AZURITE is None:
        pytest.skip("no azurite-blob: npm install azurite, and name it by AQA_AZURITE")
    return request.param


@pytest.fixture(scope="module")
def faults(store, patch):
    """What the store does wrong; its address is that of the proxy."""
    faults = local_s3.Faults(answers=store.answers, uploads=store.uploads, seconds=0.2)
    kind = fsspec.get_filesystem_class(store.protocol)
    with store.serving() as address, local_s3.faulty(address, faults) as proxy:
        for name, value in store.settings(proxy).items():
            patch.setenv(name, value)
        kind.clear_instance_cache()
        _hurry(store, patch)
        if store is AZURE:
            kind().mkdir("aqa")
        yield faults
        kind.clear_instance_cache()


def _hurry(store, patch):
    """The stores' libraries wait up to half a minute before they ask again."""
    if store is AZURE:
        policy = "azure.storage.blob._shared.policies_async.ExponentialRetry"
        patch.setattr(f"{policy}.get_backoff_time", lambda policy, settings: 0.1)
    else:
        patch.setattr("gcsfs.retry.min", lambda *seconds: 0.1, raising=False)


@pytest.fixture(scope="module")
def config(tmp_path_factory, patch):
    return tiny_fleet(tmp_path_factory.mktemp("fleet"), patch)


@pytest.fixture(scope="module")
def at(store):
    return f"{store.protocol}://aqa"


@pytest.fixture(scope="module")
def uploaded(videos, faults, at):
    place = Place(f"{at}/videos")
    for path in videos.iterdir():
        place.put(path, path.name)
    return place.url


def test_files_are_listed_put_anew_fetched_and_removed(faults, at, tmp_path):
    place, source, back = Place(f"{at}/files"), tmp_path / "source", tmp_path / "back"
    assert place.items() == [] and place.item("a.h5") is None
    for content in (b"other", b"0123456789"):
        source.write_bytes(content)
        place.put(source, "deep/a b#ä.h5")
    (item,) = place.items()
    assert item == place.item(item.name) and (item.name, item.size) == ("deep/a b#ä.h5", 10)
    assert item.modified_ns > 1.7e18
    place.get(item, back)
    assert back.read_bytes() == b"0123456789" and place.head(item.name, 4) == b"0123"
    place.remove(item.name)
    place.remove(item.name)
    assert place.items() == []
    for gone in (lambda: place.get(item, back), lambda: place.head(item.name, 4)):
        with pytest.raises(FileNotFoundError):
            gone()


def test_a_store_that_fails_gives_what_one_machine_gives(videos, uploaded, faults, at, config, tmp_path):
    alone = one_machine(videos, tmp_path / "alone.h5", config)
    faults.kinds, faults.share = ("500", "drop", "503", "cut", "slow"), 0.1
    stop = threading.Event()

    def enough(progress):
        if progress.samples >= 4:
            stop.set()

    first = extract_to_place(uploaded, f"{at}/parts", config, progress=enough, stop=stop)
    assert first.stopped and 4 <= first.done < 11
    rest = extract_to_place(uploaded, f"{at}/parts", config)
    faults.kinds = ()
    assert (rest.reused, rest.done, rest.failures) == (first.done, 11, [])
    assert {"500", "drop"} <= faults.injected.keys()
    merge_place(f"{at}/parts", tmp_path / "merged.h5")
    assert everything(tmp_path / "merged.h5") == alone
    assert extract_to_place(uploaded, f"{at}/parts", config).reused == 11
    Place(at).put(tmp_path / "merged.h5", "feats.h5")
    with open_caches(f"{at}/feats.h5") as cache:
        assert len(cache) == 11


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("expired", "the credentials have expired; renew them"),
        ("denied", "no permission"),
        ("anonymous", "there are no credentials"),
    ],
)
def test_what_the_store_refuses_is_one_message(store, faults, at, tmp_path, capfd, kind, message):
    (tmp_path / "a").write_bytes(b"a")
    faults.kinds, faults.share, faults.only = (kind,), 1.0, store.uploads
    with pytest.raises(StoreError, match=message):
        Place(f"{at}/refused").put(tmp_path / "a", "a")
    faults.kinds, faults.only = (), ()
    assert Place(f"{at}/refused").items() == []
    assert "Traceback" not in capfd.readouterr().err


def test_a_bucket_that_is_not_there(store, faults, tmp_path):
    place = Place(f"{store.protocol}://none/parts")
    (tmp_path / "a").write_bytes(b"a")
    for ask in (place.items, lambda: place.item("a"), lambda: place.put(tmp_path / "a", "a")):
        with pytest.raises(StoreError, match=r"://none/parts.*: cannot \w+ it: there is no such bucket"):
            ask()
