import contextlib
from dataclasses import replace

import pytest
import torch
from file_server import Quiet

from aqa_cache.disk.tensor_file import sha256_of
from aqa_cache.errors import WeightsError
from aqa_cache.weights.download import download, watched_downloads, weights_folder
from aqa_cache.weights.published import WeightsRecord


def test_download_checks_the_published_hash(server, tmp_path):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pth")
    sha256 = sha256_of(folder / "w.pth")
    said = []
    record = WeightsRecord("w", "c3d", f"{url}/w.pth", sha256[:8], "c3d-pytorch", "test")
    path = download(record, tmp_path / "kept", say=said.append)
    assert path.read_bytes() == (folder / "w.pth").read_bytes()
    assert said == [f"Downloading w (test) from {url}/w.pth"]
    assert download(record, tmp_path / "kept", say=said.append) == path and len(said) == 1
    path.write_bytes(b"tampered")
    with pytest.raises(WeightsError, match=f"expected {sha256[:8]}…; delete it"):
        download(record, tmp_path / "kept")
    (folder / "w.pth").write_bytes(b"another")
    with pytest.raises(WeightsError, match="not kept"):
        download(record, tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def watched(record, folder):
    """What a watcher is told of a download: of its beginning, of every block, and of its end."""
    told = []

    @contextlib.contextmanager
    def watcher(name, total):
        told.append((name, total))
        try:
            yield told.append
        finally:
            told.append("over")

    with watched_downloads(watcher), contextlib.suppress(WeightsError):
        download(record, folder, say=lambda line: None)
    return told


def test_how_far_a_download_is_can_be_watched(server, tmp_path, monkeypatch):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(50_000)}, folder / "w.pth")
    size = (folder / "w.pth").stat().st_size
    record = WeightsRecord("w", "c3d", f"{url}/w.pth", "", "c3d-pytorch", "test")
    begun, *blocks, over = watched(record, tmp_path / "kept")
    assert begun == ("w", size) and over == "over"
    assert len(blocks) > 3 and blocks == sorted(set(blocks)) and blocks[-1] == size
    assert watched(record, tmp_path / "kept") == []  # it is there
    assert watched(replace(record, url=f"{url}/gone.pth"), tmp_path / "kept") == []
    monkeypatch.setattr(Quiet, "size_known", False)
    assert watched(record, tmp_path / "other") == [("w", None), *blocks, "over"]
    monkeypatch.undo()
    monkeypatch.setattr(Quiet, "declared", size + 1)
    begun, *blocks, over = watched(record, tmp_path / "third")
    assert begun == ("w", size + 1) and blocks[-1] == size and over == "over"
    assert not list((tmp_path / "third").iterdir())


def test_a_file_without_a_published_hash_is_pinned(server, tmp_path):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pickle")
    record = WeightsRecord("w", "c3d", f"{url}/w.pickle", "", "c3d-pytorch", "test")
    said = []
    path = download(record, tmp_path, say=said.append)
    assert sha256_of(path) in said[1]
    path.unlink()
    (folder / "w.pickle").write_bytes(b"changed")
    with pytest.raises(WeightsError, match="not kept"):
        download(record, tmp_path)


def test_a_page_instead_of_weights_is_not_pinned(server, tmp_path):
    url, folder = server
    (folder / "w.pickle").write_text("<html>moved</html>")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        download(
            WeightsRecord("w", "c3d", f"{url}/w.pickle", "", "c3d-pytorch", ""),
            tmp_path / "kept",
            say=lambda line: None,
        )
    assert not list((tmp_path / "kept").iterdir())


def test_a_server_that_does_not_answer(server, tmp_path):
    url, _ = server
    with pytest.raises(WeightsError, match="cannot be downloaded .*--weights random"):
        download(
            WeightsRecord("w", "c3d", f"{url}/gone.pth", "", "c3d-pytorch", ""),
            tmp_path,
            say=lambda line: None,
        )
    assert not list(tmp_path.glob("*.pth*"))


def test_weights_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
