"""Fetching: against a server on this machine that behaves as the hub does, whole, broken off, damaged and absent."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models import ModelFileError
from models.catalogue import Entry, catalogue, entry
from models.errors import ModelsError
from models.fetch import FetchError, fetch, pin_path, verify

CONTENT = bytes(range(256)) * 12_000


class Hub(ThreadingHTTPServer):
    """A small hub: one file; what it does wrong is switched by its attributes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.content = CONTENT
        self.sha256 = hashlib.sha256(CONTENT).hexdigest()
        self.break_after: int | None = None
        self.status = 200
        self.ignores_range = False
        self.ranges: list[str] = []


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.send_response(302 if self.server.status == 200 else self.server.status)
        self.send_header("X-Linked-Size", str(len(CONTENT)))
        self.send_header("X-Linked-Etag", f'"{self.server.sha256}"')
        self.send_header("Location", "/storage")
        self.end_headers()

    def do_GET(self) -> None:
        if self.path != "/storage":
            self.send_response(302)
            self.send_header("Location", "/storage")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = self.headers.get("Range", "")
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not self.server.ignores_range else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.server.break_after is None else body[: self.server.break_after])
        self.close_connection = True


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


MODEL = Entry("toy", "a toy", "Q8_0", 1, "Apache-2.0", repository="some/repo", file="toy.gguf")


def test_a_file_arrives_whole_and_is_pinned(hub: Hub, tmp_path: Path) -> None:
    seen: list[int] = []
    path = fetch(MODEL, tmp_path / "deep" / "er", lambda done, whole: seen.append(done))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert pin_path(path).read_text().split() == [hub.sha256, "toy.gguf"]
    assert verify(path) == hub.sha256


def test_a_second_fetch_downloads_nothing(hub: Hub, tmp_path: Path) -> None:
    fetch(MODEL, tmp_path)
    fetch(MODEL, tmp_path)
    assert len(hub.ranges) == 1


def test_a_broken_download_is_continued_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = 1_500_000
    with pytest.raises(FetchError, match="run the same command again"):
        fetch(MODEL, tmp_path)
    assert not (tmp_path / "toy.gguf").exists()
    hub.break_after = None
    have = (tmp_path / "toy.gguf.part").stat().st_size
    assert 0 < have <= 1_500_000
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT
    assert hub.ranges[-1] == f"bytes={have}-"


def test_a_storage_that_ignores_ranges_is_read_from_the_start(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "toy.gguf.part").write_bytes(CONTENT[:1000])
    hub.ignores_range = True
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_is_removed(hub: Hub, tmp_path: Path) -> None:
    hub.content = CONTENT[:-1] + b"x"
    with pytest.raises(FetchError, match="damaged"):
        fetch(MODEL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_on_the_hub_is_not_taken_for_the_pinned_one(hub: Hub, tmp_path: Path) -> None:
    pin_path(fetch(MODEL, tmp_path)).write_text("0" * 64 + "  toy.gguf\n")
    with pytest.raises(FetchError, match="not the one pinned"):
        fetch(MODEL, tmp_path)


@pytest.mark.parametrize(("status", "words"), [(404, "has no"), (401, "HF_TOKEN"), (503, "try again later")])
def test_what_the_hub_refuses_is_said(hub: Hub, tmp_path: Path, status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(FetchError, match=words):
        fetch(MODEL, tmp_path)


def test_without_a_hash_nothing_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.sha256 = "abc"
    with pytest.raises(FetchError, match="no SHA-256"):
        fetch(MODEL, tmp_path)


def test_without_a_network_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="does not answer"):
        fetch(MODEL, tmp_path)


def test_a_damaged_or_unpinned_or_missing_file_is_not_verified(hub: Hub, tmp_path: Path) -> None:
    path = fetch(MODEL, tmp_path)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ModelFileError, match="is damaged"):
        verify(path)
    pin_path(path).unlink()
    with pytest.raises(ModelFileError, match="no pinned"):
        verify(path)
    with pytest.raises(ModelFileError, match="no model file"):
        verify(tmp_path / "none.gguf")


def test_the_catalogue_names_cadet_and_four_qwens() -> None:
    assert list(catalogue()) == ["cadet", "qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b"]
    assert entry("QWEN3-4B").repository == "Qwen/Qwen3-4B-GGUF"
    with pytest.raises(ModelsError, match="no model 'gpt'"):
        entry("gpt")
