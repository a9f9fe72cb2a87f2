import functools
import http.server
import threading

import pytest
import torch

from aqa_cache.disk.tensor_file import sha256_of
from aqa_cache.errors import WeightsError
from aqa_cache.weights.download import download, weights_folder
from aqa_cache.weights.published import WeightsRecord


@pytest.fixture
def server(tmp_path):
    """A file server on this machine, and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


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
