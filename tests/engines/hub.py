"""A hub on the loopback: repositories of files, with the answers and failures of the real one.

Written after what huggingface_hub 2.4.0 asks for: `/api/models/…/tree`, and HEAD and GET of `/…/resolve/…`.
"""

import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from attrs import define, field

from tests.holding import Hold, in_a_thread

COMMIT = "c" * 40


@define
class Hub:
    """The files of each repository, and what was asked.

    `refusals` are the status and error code of a repository, `cut` the number of bytes after which the next GETs break
    off, and `held` holds a GET after its first bytes. If there is a `store`, files are there, and with `xet` the
    answers say so as those of the Hub do; `etag` names their content if it is set. `asked` has the method, the path and
    the range of each request, `tokens` what it had to authorize it.
    """

    files: dict = field(factory=dict)
    refusals: dict = field(factory=dict)
    cut: list = field(factory=list)
    held: Hold | None = None
    store: "Hub | None" = None
    xet: bool = False
    etag: str = ""
    tokens: list = field(factory=list)
    asked: list = field(factory=list)
    url: str = ""

    def got(self, name):
        """Return the ranges of the GETs of a file."""
        return [span for method, path, span in self.asked if method == "GET" and path.endswith(name)]


def _etag(body):
    return hashlib.sha256(body).hexdigest()


class _Answer(BaseHTTPRequestHandler):
    hub = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = unquote(self.path.partition("?")[0])
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        self.hub.tokens.append(self.headers.get("Authorization"))
        found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)/(tree|resolve)/([^/]+)(?:/(.*))?", path)
        if not found:
            return self.refuse(404, "EntryNotFound")
        repository, what, _, name = found.groups()
        if repository in self.hub.refusals:
            return self.refuse(*self.hub.refusals[repository])
        files = self.hub.files.get(repository)
        if files is None:
            return self.refuse(404, "RepoNotFound")
        if what == "tree":
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": _etag(body)} for name, body in files.items()
            ]
            return self.send(json.dumps(tree).encode(), 200, {"Content-Type": "application/json"})
        if name not in files:
            return self.refuse(404, "EntryNotFound")
        if self.hub.store is not None:
            return self.elsewhere(files[name])
        return self.file(files[name])

    def refuse(self, status, code):
        self.send(b"", status, {"X-Error-Code": code, "X-Error-Message": code})

    def elsewhere(self, body):
        headers = {"Location": self.hub.store.url + self.path, "X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(body))}
        headers |= {"X-Linked-Etag": f'"{_etag(body)}"'}
        xet = {"X-Xet-Hash": _etag(body), "X-Xet-Refresh-Route": "/api/xet"} if self.hub.xet else {}
        self.send(b"", 302, headers | xet)

    def file(self, body):
        headers = {"ETag": f'"{self.hub.etag or _etag(body)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(asked[1]) if asked else 0
        if asked:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.send(body[first:], 206 if asked else 200, headers)

    def send(self, body, status, headers):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if status in (200, 206) and "ETag" in headers:
            if self.hub.cut:
                self.wfile.write(body[: self.hub.cut.pop(0)])
                self.close_connection = True
                return
            if self.hub.held is not None:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.hub.held()
                body = body[len(body) // 2 :]
        self.wfile.write(body)


@contextmanager
def serving_hub():
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answer", (_Answer,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    with in_a_thread(server):
        yield hub
