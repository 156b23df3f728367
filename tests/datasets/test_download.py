"""Downloads from a server on this machine: nothing here needs a network."""

import functools
import gzip
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gpunn.datasets import DataError, download
from gpunn.datasets.download import Remote, cache_folder, fetch, find

CONTENT = bytes(range(256)) * 2000
DEAD = "http://127.0.0.1:9/"  # the port of "discard", where nobody listens


class Handler(SimpleHTTPRequestHandler):
    """Serves files whole or from a byte on, unless `ranges` is off; closes early after `break_after` bytes, once."""

    def do_GET(self):
        path = self.server.folder / self.path.lstrip("/")
        self.server.requests.append((self.path, self.headers.get("Range")))
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        wanted = self.headers.get("Range") if self.server.ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop, self.server.break_after = self.server.break_after, None
        self.wfile.write(content[start:] if stop is None else content[start : start + stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder = tmp_path / "served"
    server.folder.mkdir()
    server.requests, server.ranges, server.break_after = [], True, None
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def remote(server, *mirrors, content=CONTENT, **options):
    (server.folder / "data.bin").write_bytes(content)
    return Remote("data.bin", mirrors or (server.url,), hashlib.md5(CONTENT).hexdigest(), **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(server, tmp_path, capsys):
    file = remote(server)
    for _ in range(2):
        assert fetch(file, tmp_path / "cache" / "set").read_bytes() == CONTENT
    assert server.requests == [("/data.bin", None)]
    assert names(tmp_path / "cache" / "set") == ["data.bin"]
    lines = capsys.readouterr().err.splitlines()  # plain lines where there is no terminal
    assert lines[-1] == f"{server.url}data.bin: 0.5 of 0.5 MiB" and len(lines) <= 11


def test_the_next_mirror_is_asked_when_one_is_dead_or_has_no_such_file(server, tmp_path):
    file = remote(server, DEAD, f"{server.url}elsewhere/", server.url)
    assert fetch(file, tmp_path / "cache").read_bytes() == CONTENT


def test_a_broken_transfer_is_gone_on_with(server, tmp_path):
    file = remote(server)
    server.break_after = 100_000
    with pytest.raises(DataError, match=f"the connection closed after 100000 of {len(CONTENT)} bytes"):
        fetch(file, tmp_path / "cache")
    assert names(tmp_path / "cache") == ["data.bin.part"]
    assert fetch(file, tmp_path / "cache").read_bytes() == CONTENT
    assert server.requests[-1] == ("/data.bin", "bytes=100000-")
    assert names(tmp_path / "cache") == ["data.bin"]


def test_a_broken_transfer_is_gone_on_with_at_the_next_mirror(server, tmp_path):
    file = remote(server, server.url, server.url)
    server.break_after = 100_000
    assert fetch(file, tmp_path / "cache").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-"]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    file = remote(server)
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    assert fetch(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("beginning", [b"x" * 1000, b"x" * len(CONTENT), CONTENT + b"x"])
def test_a_wrong_beginning_is_noticed_and_fetched_again(server, tmp_path, beginning):
    file = remote(server)
    (tmp_path / "data.bin.part").write_bytes(beginning)
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_file_that_had_arrived_whole_is_taken(server, tmp_path):
    file = remote(server)
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["data.bin", "served"]


def test_a_wrong_checksum_leaves_nothing_behind(server, tmp_path):
    file = remote(server, content=CONTENT[:-1] + b"!")
    with pytest.raises(DataError, match=f"MD5 checksum is .*; expected {file.md5}"):
        fetch(file, tmp_path / "cache")
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize("level", [0, 1, 9])
def test_the_content_is_what_counts_however_it_is_gzipped(server, tmp_path, level):
    file = remote(server, content=gzip.compress(CONTENT, level), of_content=True)
    assert gzip.decompress(fetch(file, tmp_path / "cache").read_bytes()) == CONTENT


def test_a_page_in_the_place_of_the_file_is_refused(server, tmp_path):
    file = remote(server, content=b"<html>Please log in</html>", of_content=True)
    with pytest.raises(DataError, match="MD5 checksum"):
        fetch(file, tmp_path / "cache")


def test_without_a_network_the_error_says_which_file_to_put_where(server, tmp_path):
    with pytest.raises(
        DataError, match=r"(?s)could not be downloaded.*127\.0\.0\.1:9.*put the file data\.bin into "
    ) as error:
        fetch(remote(server, DEAD), tmp_path / "cache")
    assert str(tmp_path / "cache") in str(error.value)
    assert names(tmp_path / "cache") == []


def test_processes_that_ask_at_once_download_once(server, tmp_path):
    file = remote(server)
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch(file, tmp_path / "cache"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in found] == [CONTENT] * 4
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "cache").write_text("a file in the place of a folder")
    with pytest.raises(DataError, match=r"cache: cannot be written .*set GPUNN_DATA"):
        fetch(remote(server), tmp_path / "cache")


def test_a_terminal_gets_a_bar(server, tmp_path, monkeypatch, capsys):
    from rich import console

    monkeypatch.setattr(console, "Console", functools.partial(console.Console, force_terminal=True, width=100))
    fetch(remote(server), tmp_path / "cache")
    assert "━━━" in capsys.readouterr().err


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUNN_DATA", str(tmp_path))
    assert cache_folder("mnist") == tmp_path / "mnist"
    monkeypatch.delenv("GPUNN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("mnist") == tmp_path / "xdg" / "gpunn" / "mnist"


def test_a_file_is_found_with_or_without_gz(tmp_path):
    assert find([tmp_path], "a.gz") is None
    (tmp_path / "a").write_bytes(b"")
    assert find([tmp_path / "absent", tmp_path], "a.gz") == tmp_path / "a"
    (tmp_path / "a.gz").write_bytes(b"")
    assert find([tmp_path], "a.gz") == tmp_path / "a.gz"


def test_a_stalled_server_is_given_up(server, tmp_path, monkeypatch):
    file = remote(server, "http://127.0.0.1:{}/")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
        file = Remote(file.filename, (f"http://127.0.0.1:{silent.getsockname()[1]}/", server.url), file.md5)
        assert fetch(file, tmp_path / "cache").read_bytes() == CONTENT
