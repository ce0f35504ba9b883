"""A small server that answers as the Hugging Face Hub does."""

import hashlib
import http.server
import json
import re
from urllib.parse import unquote, urlparse

COMMIT = "c" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Repositories by name, each a dict of files, on 127.0.0.1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()  # says what it holds, gives nothing
        self.counts: dict[str, dict[str, int]] = {}  # numbers in the weights by their kind, where the Hub has counted
        self.configured: set[str] = set()  # tells its config before any download, as the Hub does of most
        self.cut: set[str] = set()  # files whose download breaks off
        self.downloads: list[str] = []
        self.busy = 0  # a status with which it answers everything
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, hub = urlparse(self.path).path, self.server
        if hub.busy:
            self.fail(hub.busy, "")
        elif match := re.fullmatch(r"/api/models/(tiny/[^/]+)(?:/revision/([^/]+))?", path):
            self.about(match[1], match[2])
        elif match := re.fullmatch(r"/api/models/(tiny/[^/]+)/tree/[^/]+", path):
            files = hub.repositories[match[1]]
            self.send_json([{"type": "file", "path": name, "size": len(content), "oid": tag(content)}
                            for name, content in files.items()])  # fmt: skip
        elif match := re.fullmatch(r"/(tiny/[^/]+)/resolve/[^/]+/(.+)", path):
            self.file(match[1], unquote(match[2]))
        else:
            self.fail(404, "EntryNotFound")

    do_HEAD = do_GET

    def about(self, name: str, revision: str | None) -> None:
        files = self.server.repositories.get(name)
        if files is None:  # the Hub does not tell an unknown repository from a private one
            self.fail(401, "RepoNotFound")
        elif revision not in (None, "main", COMMIT):
            self.fail(404, "RevisionNotFound")
        else:
            siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
            config = json.loads(files["config.json"]) if name in self.server.configured else None
            about = {"id": name, "sha": COMMIT, "siblings": siblings, "gated": name in self.server.gated}
            about |= {"config": config} if config else {}
            if counts := self.server.counts.get(name):
                about["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
            self.send_json(about)

    def file(self, name: str, file: str) -> None:
        if name in self.server.gated:
            self.fail(403, "GatedRepo")
            return
        content = self.server.repositories[name].get(file)
        if content is None:
            self.fail(404, "EntryNotFound")
            return
        part = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, end = (int(part[1]), min(int(part[2] or len(content)) + 1, len(content))) if part else (0, len(content))
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(end - start))
        if part:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("ETag", f'"{tag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET" and part and part[2]:  # only a header is looked at
            self.wfile.write(content[start:end])
        elif self.command == "GET":
            self.server.downloads.append(file)
            if file in self.server.cut:  # half of it, and then nobody is there any more
                self.wfile.write(content[start : len(content) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.server.socket.close()
                return
            self.wfile.write(content[start:])

    def fail(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


def tag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def point_to(monkeypatch, url: str) -> None:
    """Let huggingface_hub take this address for the Hub's."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
