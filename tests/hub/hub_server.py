"""A Hugging Face hub for tests, on this machine: the routes that a download uses, and every way in which it fails.

Speaks what huggingface_hub speaks (checked against its snapshot_download): the list of a revision, files by `resolve`,
redirects of LFS files to a second host (here another port, the "CDN"), ranges, ETags. Faults are switched on by tests.
"""
import hashlib
import json
import pathlib
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(data: bytes) -> str:
    """git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Faults:
    """What goes wrong. Each test sets what it needs."""

    def __init__(self):
        self.cut_after = None       # bytes of a body after which the connection is cut
        self.cuts = 0               # how often that still happens; -1: always
        self.wrong_bytes = False    # bodies have a flipped byte
        self.no_ranges = False      # Range is ignored
        self.stall = False          # bodies stop after a byte, and the connection stays open
        self.length_off = 0         # added to Content-Length
        self.too_long = False       # more bytes than promised, without a Content-Length
        self.status = None          # answer of the list instead of 200: (code, error code, message)
        self.busy = 0               # answers of 503 before the list comes
        self.redirect_loop = False
        self.cdn_url = None         # where LFS files are redirected to, instead of the CDN
        self.open_list = False      # the list of a gated repository is shown to everyone, as the real hub does
        self.gone = set()           # files that the list has and the hub has not
        self.hold = None            # an Event that bodies wait for


class QuietServer(ThreadingHTTPServer):
    """Connections that clients cut are what the tests are about."""

    def handle_error(self, *_):
        pass


class Hub:
    """Repositories {id: {path: bytes}} behind two ports. Use as a context manager."""

    def __init__(self, repositories: dict, lfs_from: int = 100_000, token: str | None = None):
        self.repositories = repositories
        self.lfs_from = lfs_from
        self.token = token
        self.faults = Faults()
        self.requests = []          # (port's name, method, path, headers)
        self.listing_edit = None    # function that changes the list before it is sent
        self.released = threading.Event()
        self._servers = {name: self._serve(name) for name in ("hub", "cdn")}

    def _serve(self, name: str) -> ThreadingHTTPServer:
        handler = type(name, (Handler,), {"hub": self, "name": name})
        server = QuietServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def url(self, name: str = "hub") -> str:
        # Two names of this machine: clients take them for two hosts, as the hub and its CDN are.
        host = "localhost" if name == "cdn" else "127.0.0.1"
        return f"http://{host}:{self._servers[name].server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def bodies(self) -> list:
        """Paths of the files whose contents were sent, in order."""
        return [path for name, method, path, _ in self.requests
                if method == "GET" and (name == "cdn" or "/resolve/" in path)]

    def listing(self, repo: str) -> dict:
        siblings = []
        for path, data in self.repositories[repo].items():
            entry = {"rfilename": path, "size": len(data), "blobId": git_sha1(data)}
            if len(data) >= self.lfs_from:
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        result = {"_id": "1", "id": repo, "modelId": repo, "sha": COMMIT, "private": False, "gated": False, "tags": [],
                  "siblings": siblings}
        return self.listing_edit(result) if self.listing_edit else result


class Handler(BaseHTTPRequestHandler):
    """One request. `hub` and `name` are set by Hub._serve."""
    protocol_version = "HTTP/1.1"
    hub: Hub
    name: str

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        self.hub.requests.append((self.name, self.command, self.path, dict(self.headers)))
        parts = [urllib.parse.unquote(part) for part in urllib.parse.urlsplit(self.path).path.split("/")[1:]]
        if self.name == "cdn":
            self.send_file("/".join(parts[:2]), "/".join(parts[2:]), "cdn-")
        elif parts[:2] == ["api", "models"] and len(parts) >= 5 and parts[4] in ("revision", "tree"):
            self.send_list("/".join(parts[2:4]), parts[4], "/".join(parts[5:]))
        elif len(parts) >= 5 and parts[2] == "resolve":
            self.resolve("/".join(parts[:2]), "/".join(parts[4:]))
        else:
            self.refuse(404, "EntryNotFound", "no such route")

    def refuse(self, code: int, error_code: str = "", message: str = "", **headers):
        self.send_response(code)
        if error_code:
            self.send_header("X-Error-Code", error_code)
        if message:
            self.send_header("X-Error-Message", message)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def allowed(self) -> bool:
        if self.hub.token is None or self.headers.get("Authorization") == f"Bearer {self.hub.token}":
            return True
        self.refuse(401, "GatedRepo", "Access to this model is restricted.")
        return False

    def send_json(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_list(self, repo: str, kind: str, revision: str):
        faults = self.hub.faults
        if faults.busy > 0:
            faults.busy -= 1
            self.refuse(503, Retry_After="1")
        elif faults.status:
            self.refuse(*faults.status)
        elif faults.redirect_loop:
            self.refuse(302, Location=self.path)
        elif repo not in self.hub.repositories:
            self.refuse(401, "RepoNotFound", "Invalid username or password.")
        elif revision not in ("main", "refs/pr/1", COMMIT):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif faults.open_list or self.allowed():
            listing = self.hub.listing(repo)
            if kind == "tree":
                self.send_json([{"type": "file", "path": entry["rfilename"], "size": entry["size"],
                                 "oid": entry["blobId"],
                                 **({"lfs": {"oid": entry["lfs"]["sha256"], "size": entry["size"], "pointerSize": 134}}
                                    if "lfs" in entry else {})} for entry in listing["siblings"]])
            else:
                self.send_json(listing)

    def resolve(self, repo: str, path: str):
        data = self.hub.repositories.get(repo, {}).get(path)
        if data is None or path in self.hub.faults.gone:
            self.refuse(404, "EntryNotFound", "Entry not found", X_Repo_Commit=COMMIT)
        elif not self.allowed():
            pass
        elif len(data) < self.hub.lfs_from:
            self.send_file(repo, path, "", {"X-Repo-Commit": COMMIT})
        else:
            digest = hashlib.sha256(data).hexdigest()
            target = self.hub.faults.cdn_url or f"{self.hub.url('cdn')}/{repo}/{urllib.parse.quote(path)}"
            self.refuse(302, Location=target, X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{digest}"',
                        X_Linked_Size=str(len(data)), ETag=f'"{git_sha1(data)}"')

    def send_file(self, repo: str, path: str, prefix: str, headers: dict | None = None):
        faults, data = self.hub.faults, self.hub.repositories[repo][path]
        # Of the CDN it is no hash of the content, as with multi-part uploads.
        etag = f'"{prefix}{git_sha1(data)}"'
        first, wanted = 0, self.headers.get("Range")
        if wanted and not faults.no_ranges and self.headers.get("If-Range", etag) == etag:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if wanted and first >= len(data):
            self.refuse(416, Content_Range=f"bytes */{len(data)}")
            return
        self.send_response(206 if first else 200)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("ETag", etag)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        body = data[first:]
        if faults.wrong_bytes and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if faults.too_long:
            self.send_header("Connection", "close")
            self.close_connection = True
            body += b"more"
        else:
            self.send_header("Content-Length", str(len(body) + faults.length_off))
        self.end_headers()
        if self.command == "GET":
            self.send_body(body)

    def send_body(self, body: bytes):
        faults = self.hub.faults
        try:
            if faults.hold:
                self.wfile.write(body[:1])
                self.wfile.flush()
                faults.hold.wait(30)
                body = body[1:]
            if faults.stall:
                self.wfile.write(body[:1])
                self.wfile.flush()
                self.hub.released.wait(30)
                return
            if faults.cut_after is not None and faults.cuts != 0 and len(body) > faults.cut_after:
                faults.cuts -= 1
                body = body[:faults.cut_after]
                self.wfile.write(body)
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


def repository_of(folder: pathlib.Path) -> dict:
    """The files of a model folder as a repository, with what such repositories have beside."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())
             if path.suffix in (".json", ".jinja", ".safetensors", ".md")}
    files[".gitattributes"] = b"*.safetensors filter=lfs\n"
    files["onnx/model.onnx"] = b"\0" * 5000
    files["pytorch_model.bin"] = b"pickle"
    return files
