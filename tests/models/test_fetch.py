"""Fetching with huggingface_hub, against a server on this machine that speaks the hub's protocol.

As the real one, it answers HEAD and GET of `/REPOSITORY/resolve/REVISION/FILE` with a redirect to a storage on another
host, and tells commit, size and SHA-256 in headers (`X-Repo-Commit`, `X-Linked-Size`, `X-Linked-Etag`).
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, file_download

from models import ModelFileError
from models.catalogue import Entry, catalogue, entry
from models.errors import ModelsError
from models.fetch import FetchError, fetch, pin_path, verify

CONTENT = bytes(range(256)) * 12_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """A small hub with one file; what it does wrong is switched by its attributes."""

    daemon_threads = True

    def __init__(self, content: bytes = CONTENT) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.content = content
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.breaks: list[int] = []
        """After how many bytes the next transfers are cut."""
        self.stall = threading.Event()
        """While it is clear, a transfer cut by `breaks` is left hanging instead of being closed."""
        self.stall.set()
        self.status, self.error_code = 200, ""
        self.storage_status = 200
        self.ignores_range = False
        self.ranges: list[str] = []
        self.asked: list[tuple[str, str, bool]] = []
        """Method, path, and whether a token came with it."""


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def note(self) -> None:
        self.server.asked.append((self.command, self.path, "Authorization" in self.headers))

    def do_HEAD(self) -> None:
        self.note()
        hub = self.server
        if hub.status != 200 or "/resolve/" not in self.path:
            self.send_response(hub.status if hub.status != 200 else 404)
            if hub.error_code:
                self.send_header("X-Error-Code", hub.error_code)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(302)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Size", str(hub.size))
        self.send_header("X-Linked-Etag", f'"{hub.sha256}"')
        # Another host, as the real storage: the token must not follow there.
        self.send_header("Location", f"http://localhost:{hub.server_port}/storage")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        if self.path != "/storage":
            self.do_HEAD()
            return
        self.note()
        hub = self.server
        wanted = self.headers.get("Range", "")
        hub.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not hub.ignores_range else 0
        body = hub.content[start:]
        self.send_response(hub.storage_status if hub.storage_status != 200 else 206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.end_headers()
        cut = hub.breaks.pop(0) if hub.breaks else None
        try:
            self.wfile.write(body[:cut])
            self.wfile.flush()
            hub.stall.wait(60)
        except OSError:
            pass  # the client was killed
        self.close_connection = True


def serve(server: Hub) -> Iterator[Hub]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.stall.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))  # its pause before a retry
    yield from serve(server)


MODEL = Entry("toy", "a toy", "Q8_0", 1, "Apache-2.0", repository="some/repo", file="toy.gguf")


def test_a_file_arrives_whole_and_is_pinned(hub: Hub, tmp_path: Path) -> None:
    seen: list[int] = []
    path = fetch(MODEL, tmp_path / "deep" / "er", lambda done, whole: seen.append(done))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert pin_path(path).read_text().split() == [hub.sha256, "toy.gguf"]
    assert verify(path) == hub.sha256


def part_of(folder: Path) -> Path:
    (part,) = folder.glob("toy.gguf.*.part")
    return part


def test_a_second_fetch_asks_nobody_even_without_a_network(hub: Hub, tmp_path: Path) -> None:
    fetch(MODEL, tmp_path)
    asked = len(hub.asked)
    hub.status = 503
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT
    assert len(hub.asked) == asked


def test_a_file_that_was_there_before_is_pinned_when_it_is_the_hubs(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "toy.gguf").write_bytes(CONTENT)
    assert verify(fetch(MODEL, tmp_path)) == hub.sha256
    assert hub.ranges == []


def test_a_file_damaged_after_it_was_pinned_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    path = fetch(MODEL, tmp_path)
    path.write_bytes(b"x" + CONTENT[1:])
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: Hub, tmp_path: Path) -> None:
    """Also: the file is asked for at the commit whose hash was told, and nothing else is asked."""
    fetch(MODEL, tmp_path)
    assert hub.asked == [
        ("HEAD", "/some/repo/resolve/main/toy.gguf", True),
        ("GET", f"/some/repo/resolve/{COMMIT}/toy.gguf", True),
        ("GET", "/storage", False),
    ]


def test_a_broken_connection_is_taken_up_in_the_same_call(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = [1_500_000, 700_000]
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT
    starts = [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for wanted in hub.ranges]
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] <= 1_500_000 < starts[2] <= 2_200_000


def test_a_download_given_up_is_continued_by_the_next_call(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = [1_500_000] + [0] * 6
    with pytest.raises(FetchError, match="run the same command again"):
        fetch(MODEL, tmp_path)
    assert not (tmp_path / "toy.gguf").exists()
    have = part_of(tmp_path).stat().st_size
    assert 0 < have <= 1_500_000
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT
    assert hub.ranges[-1] == f"bytes={have}-"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.gguf", "toy.gguf.sha256"]


def test_a_part_of_another_version_is_not_continued(hub: Hub, tmp_path: Path) -> None:
    """The hub's file changed between two calls: what was there of the old one must not come into the new one."""
    hub.breaks = [1_500_000] + [0] * 6
    with pytest.raises(FetchError):
        fetch(MODEL, tmp_path)
    hub.content = CONTENT[::-1]
    hub.sha256 = hashlib.sha256(hub.content).hexdigest()
    assert fetch(MODEL, tmp_path).read_bytes() == hub.content
    assert hub.ranges[-1] == ""


def test_a_storage_that_ignores_ranges_is_read_from_the_start(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"toy.gguf.{hub.sha256[:12]}.part").write_bytes(CONTENT[:1000])
    hub.ignores_range = True
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_begun_again(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"toy.gguf.{hub.sha256[:12]}.part").write_bytes(CONTENT + b"more")
    assert fetch(MODEL, tmp_path).read_bytes() == CONTENT


def test_a_damaged_file_is_removed(hub: Hub, tmp_path: Path) -> None:
    hub.content = CONTENT[:-1] + b"x"
    with pytest.raises(FetchError, match="damaged"):
        fetch(MODEL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_on_the_hub_is_not_taken_for_the_pinned_one(hub: Hub, tmp_path: Path) -> None:
    path = fetch(MODEL, tmp_path)
    path.unlink()
    pin_path(path).write_text("0" * 64 + "  toy.gguf\n")
    hub.ranges.clear()
    with pytest.raises(FetchError, match="not the one pinned"):
        fetch(MODEL, tmp_path)
    assert hub.ranges == []


def test_two_fetches_of_one_file_do_not_write_into_each_other(hub: Hub, tmp_path: Path) -> None:
    hub.breaks, begun = [1_000_000], threading.Event()
    hub.stall.clear()
    first = threading.Thread(target=fetch, args=(MODEL, tmp_path, lambda done, whole: begun.set()))
    first.start()
    assert begun.wait(30)
    with pytest.raises(FetchError, match="another process"):
        fetch(MODEL, tmp_path)
    hub.stall.set()
    first.join(30)
    assert (tmp_path / "toy.gguf").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "EntryNotFound", "has no toy.gguf"),
        (404, "RevisionNotFound", "has no toy.gguf"),
        (404, "", "has no toy.gguf"),
        (401, "RepoNotFound", "set HF_TOKEN"),
        (401, "", "set HF_TOKEN"),
        (403, "GatedRepo", "accept it there, then set HF_TOKEN"),
        (403, "", "set HF_TOKEN"),
        (503, "", "answers 503 .* try again later"),
    ],
)
def test_what_the_hub_refuses_is_said(hub: Hub, tmp_path: Path, status: int, code: str, words: str) -> None:
    hub.status, hub.error_code = status, code
    with pytest.raises(FetchError, match=words):
        fetch(MODEL, tmp_path)


def test_what_the_storage_refuses_is_said(hub: Hub, tmp_path: Path) -> None:
    hub.storage_status = 503
    with pytest.raises(FetchError, match="answers 503"):
        fetch(MODEL, tmp_path)


@pytest.mark.parametrize("sha256", ["abc", ""])
def test_without_a_hash_nothing_is_fetched(hub: Hub, tmp_path: Path, sha256: str) -> None:
    hub.sha256 = sha256
    with pytest.raises(FetchError, match="no SHA-256"):
        fetch(MODEL, tmp_path)


def test_a_file_shorter_than_the_hub_said_is_not_taken(hub: Hub, tmp_path: Path) -> None:
    hub.size += 1
    with pytest.raises(FetchError, match="run the same command again"):
        fetch(MODEL, tmp_path)
    assert not (tmp_path / "toy.gguf").exists()


def test_a_full_disk_is_said_before_anything_is_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(FetchError, match="are free there"):
        fetch(MODEL, tmp_path)
    assert hub.ranges == []


def test_without_a_network_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="does not answer"):
        fetch(MODEL, tmp_path)


def command(hub: Hub, folder: Path, **more: str) -> subprocess.Popen[str]:
    """`orbitlm models fetch qwen3-0.6b` in a process of its own."""
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", **more}
    words = [sys.executable, "-m", "models", "fetch", "qwen3-0.6b", "--folder", str(folder)]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )


@pytest.fixture(scope="module")
def large() -> Iterator[Hub]:
    """A file of some of the library's blocks of 10 MiB."""
    yield from serve(Hub(os.urandom(1 << 20) * 25))


@pytest.mark.slow
def test_a_killed_fetch_goes_on_from_where_it_was(large: Hub, tmp_path: Path) -> None:
    """SIGKILL in the middle of a transfer: no clean-up runs, and the next command asks for the rest only."""
    large.breaks = [24 << 20]
    large.stall.clear()
    process = command(large, tmp_path)
    deadline = time.monotonic() + 60
    name = catalogue()["qwen3-0.6b"].file
    part = tmp_path / f"{name}.{large.sha256[:12]}.part"
    while not (part.exists() and part.stat().st_size >= 20 << 20):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    large.stall.set()
    assert part.stat().st_size == 20 << 20
    process = command(large, tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "its SHA-256 is right" in output.replace("\n", " ")
    assert large.ranges[-1] == f"bytes={20 << 20}-"
    assert (tmp_path / name).read_bytes() == large.content
    assert {path.rpartition("/")[2] for _, path, _ in large.asked} == {name, "storage"}, "only the file is asked for"


@pytest.mark.slow
def test_offline_the_command_says_so_in_one_sentence(large: Hub, tmp_path: Path) -> None:
    process = command(large, tmp_path, HF_HUB_OFFLINE="1")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.splitlines() == [
        "orbitlm models: qwen3-0.6b cannot be fetched: HF_HUB_OFFLINE is set; unset it where there is a network."
    ]


def test_without_the_library_the_command_that_installs_it_is_named(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FetchError, match=r"pip install 'orbitlm\[models\]'"):
        fetch(MODEL, tmp_path)


def test_a_damaged_or_unpinned_or_missing_file_is_not_verified(hub: Hub, tmp_path: Path) -> None:
    path = fetch(MODEL, tmp_path)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ModelFileError, match="is damaged"):
        verify(path)
    pin_path(path).write_text("not a hash\n")
    with pytest.raises(ModelFileError, match="holds no SHA-256"):
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


def test_another_type_is_another_file_of_the_same_repository() -> None:
    found = entry("qwen3-4b").in_type("q8_0")
    assert (found.repository, found.file) == ("Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q8_0.gguf")
    assert entry("qwen3-4b").in_type("q4_k_m") == entry("qwen3-4b").in_type("") == entry("qwen3-4b")
    with pytest.raises(ModelsError, match="comes in Q8_0 only"):
        entry("cadet").in_type("q4_0")
