"""A small Hugging Face hub on loopback: the calls of the unmodified clients, immutable commits, faults on order."""

import base64
import hashlib
import json
import os
import re
import socket
import struct
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = {"model": "models", "dataset": "datasets", "space": "spaces"}
DATE = "2026-01-01T00:00:00.000Z"  # of every commit
LFS_SUFFIXES = (".arrow", ".bin", ".gz", ".jpg", ".npy", ".onnx", ".parquet", ".png", ".pt", ".safetensors", ".zip")
REPO_CALL = re.compile(  # the name is lazy: gpt2/tree/main is the tree of gpt2, not something of a repo gpt2/tree
    r"(?:/api(?=/models/|/datasets/|/spaces/))?/(?:(models|datasets|spaces)/)?(?!api/)([^/]+(?:/[^/]+)??)"
    r"(?:(?:/|\.git/info/lfs/objects/)(revision|tree|paths-info|refs|commits|preupload|batch|commit|resolve)"
    r"(?:/([^/]+)(?:/(.*))?)?)?"
)
Entry = dict[str, Any]  # a file as the tree lists it, and the etag that names its bytes: git blob id, or sha256 for LFS
Answer = tuple[bytes, int, dict[str, str]]  # body, status, headers


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match."""

    path: str  # a regular expression, searched for in the path (quoted as sent, without the query)
    method: str = ""  # empty: any, but only GET for `corrupt`
    times: int = 1  # counts down
    status: int = 0  # answered, with `headers`, instead of carrying the request out
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False  # connection reset before the body is read; not carried out
    lost: bool = False  # carried out, then the connection reset instead of an answer
    hang: float = 0  # seconds of silence, then carried out and answered (or dropped)
    held: float = 0  # carried out, then so many seconds of silence before the answer
    corrupt: bool = False  # one flipped byte in the answer, or in what a PUT or POST brings, length unchanged
    cut: bool = False  # the line breaks off in the middle: of the answer to a GET, of what a PUT or POST brings

    def strikes(self, method: str, path: str) -> bool:
        """Whether a request meets this fault; counts down."""
        wanted = self.method or ("GET" if self.corrupt or self.cut else method)
        struck = self.times > 0 and method == wanted and re.search(self.path, path) is not None
        self.times -= struck
        return struck


class Commit(NamedTuple):
    """One immutable state of a repository."""

    id: str
    title: str
    files: dict[str, Entry]

    def tree(self) -> dict[str, Entry]:
        """Its folders and files as the hub lists them, by path."""
        parents = {str(parent) for path in self.files for parent in PurePosixPath(path).parents[:-1]}
        folders = {path: {"type": "directory", "path": path, "oid": "0" * 40} for path in parents}
        return folders | {path: {"type": "file", "path": path, **file} for path, file in self.files.items()}


@dataclass
class Repo:
    """A repository with one branch, main."""

    name: str
    owner: str  # who may read it if it is private, and download from it if it is gated
    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)  # oldest first

    def commit(self, title: str, files: dict[str, Entry]) -> Commit:
        """Add a commit that holds `files`."""
        key = f"{self.name} {len(self.commits)} {title} {files}".encode()  # the count tells equal commits apart
        self.commits.append(Commit(hashlib.sha1(key).hexdigest(), title, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit:
        """The commit that "main" or a commit id names."""
        if not (found := [commit for commit in self.commits if revision in ("main", commit.id)]):
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found[-1]


class Refusal(Exception):
    """An error, in the headers and the body that clients read."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        ascii_message = message.encode("ascii", "backslashreplace").decode()  # a header holds no more
        headers = {"X-Error-Message": ascii_message, "X-Error-Code": code, "X-Repo-Commit": commit}
        self.answer: Answer = json.dumps({"error": message}).encode(), status, headers


class Hub:
    """A hub that serves from a thread between `with` and its end.

    `root` holds the bytes. `tokens` maps a token to its user, who may write to the namespace of that name.
    With `validate_yaml=False` the hub lacks that route, as self-hosted ones do.
    """

    def __init__(self, root: Path, tokens: dict[str, str] | None = None, validate_yaml: bool = True) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root, self.tokens, self.validate_yaml = root, tokens or {}, validate_yaml
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self._repos: dict[tuple[str, str], Repo] = {}
        self._lock, self._closing = threading.RLock(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        told = self._server.handle_error
        self._server.handle_error = lambda *at: None if isinstance(sys.exception(), ConnectionError) else told(*at)
        self._server.socket.listen(128)  # with the default of 5, parallel downloads wait a second for a connection
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, kind: str, name: str, path: Path, private: bool = False, gated: bool = False, owner: str = "") -> str:
        """Serve a copy of the files below `path` as one commit on main, a further one if the repo exists; its id."""
        paths = [each for each in path.rglob("*") if each.is_file()]
        if kind not in KINDS.values() or not paths:
            raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS.values())}, or {path} holds no files")
        with self._lock:
            repo = self._repos.setdefault((kind, name), Repo(name, owner))
            repo.owner, repo.private, repo.gated = owner or name.split("/")[0], private, gated
            files = {each.relative_to(path).as_posix(): self._keep(each.read_bytes(), each.name) for each in paths}
            return repo.commit("Add files", files).id

    def files(self, kind: str, name: str, revision: str = "main") -> dict[str, bytes]:
        """What is in a repository at a revision: bytes by path."""
        files = self._repos[kind, name].at(revision).files
        return {path: (self._root / file["etag"]).read_bytes() for path, file in files.items()}

    def commits(self, kind: str, name: str) -> list[Commit]:
        """The commits of a repository, newest first."""
        return self._repos[kind, name].commits[::-1]

    def env(self, home: Path, token: str = "") -> dict[str, str]:
        """What to lay over the environment of a client process, so that it talks to this hub and to nothing else."""
        # An empty token is none, and hides one that the tests themselves were started with; no_proxy hides a proxy.
        here = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_TOKEN": token, "no_proxy": "127.0.0.1"}
        off = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_SAFETENSORS_CONVERSION")
        return here | {"HF_UPDATE_DOWNLOAD_COUNTS": "0"} | dict.fromkeys(off, "1")

    def _keep(self, data: bytes, name: str = "", lfs: bool | None = None) -> Entry:
        """Store the bytes of a file; without `lfs` its name and content decide what it is."""
        lfs = _is_lfs(name, len(data), data) if lfs is None else lfs
        oid = hashlib.sha256(data) if lfs else hashlib.sha1(b"blob %d\0" % len(data) + data)
        if not (stored := self._root / oid.hexdigest()).exists():
            stored.write_bytes(data)
        return self._lfs_entry(stored.name) if lfs else {"size": len(data), "oid": stored.name, "etag": stored.name}

    def _lfs_entry(self, sha256: str) -> Entry:
        """The LFS file of bytes in the store."""
        if not (self._root / sha256).exists():
            raise Refusal(404, f"no LFS object {sha256}")
        size = (self._root / sha256).stat().st_size
        lfs = {"oid": sha256, "sha256": sha256, "size": size, "pointerSize": 125 + len(str(size))}
        return {"size": size, "oid": sha256[:40], "etag": sha256, "lfs": lfs}  # any id does for the pointer


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Read one request, meet its fault, answer."""
        hub, url = self.hub, urlsplit(self.path)
        self.route, self.query = url.path, parse_qs(url.query.lower())
        with hub._lock:
            hub.requests.append((self.command, self.route))
            fault = next((fault for fault in hub.faults if fault.strikes(self.command, self.route)), Fault(""))
        if fault.drop:
            hub._closing.wait(fault.hang)
        if fault.drop or hub._closing.is_set():
            return self._reset()
        length = int(self.headers.get("Content-Length", 0))
        if fault.cut and self.command != "GET":
            self.rfile.read(length // 2)
            return self._reset()
        self.body = self.rfile.read(length)
        if fault.corrupt and self.command in ("PUT", "POST"):
            self.body = _flipped(self.body, 255 if self.command == "PUT" else 1)  # that may still be JSON
        hub._closing.wait(fault.hang)
        with hub._lock:
            try:
                body, status, headers = (b"", fault.status, fault.headers) if fault.status else self._carry_out()
            except Refusal as refusal:
                body, status, headers = refusal.answer
            except (ValueError, KeyError) as error:
                body, status, headers = Refusal(400, f"the body cannot be read: {error}").answer
        hub._closing.wait(fault.held)
        if fault.lost:
            return self._reset()
        if fault.corrupt and body and self.command == "GET":
            body = _flipped(body)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if fault.cut:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            return self._reset()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_HEAD = do_POST = do_PUT = do_GET

    def _reset(self) -> None:
        """End the connection the hard way: the client sees a reset, not an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _carry_out(self) -> Answer:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.user = self.hub.tokens.get(token)
        if token and not self.user:
            raise Refusal(401, "Invalid credentials in Authorization header")  # the client looks for these words
        match self.command, self.route:
            case "GET", "/api/whoami-v2":
                self._check_user(self.user)
                access = {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}}
                return _json({"type": "user", "name": self.user, "fullname": self.user, "orgs": [], "auth": access})
            case "POST", "/api/repos/create":
                return self._create_repo(json.loads(self.body))
            case "POST", "/api/validate-yaml" if self.hub.validate_yaml:
                return _json({"errors": [], "warnings": []})
            case "PUT", _:  # an LFS object; wrong bytes get another name, and verify fails
                return _json(self.hub._keep(self.body, lfs=True))
            case "POST", route if found := re.fullmatch("/lfs/([0-9a-f]{64})/verify", route):
                return _json(self.hub._lfs_entry(found[1]))
        if not (found := REPO_CALL.fullmatch(self.route)):
            return f"<h1>{self.path} is not served</h1>".encode(), 404, {"Content-Type": "text/html"}
        kind, name, call, revision, path = (unquote(part or "") for part in found.groups())
        repo, revision = self.hub._repos.get((kind or "models", name)), revision or "main"
        if repo is None or (repo.private and self.user != repo.owner):
            # Without a token a real hub answers 401, whether the repository is missing or private.
            raise Refusal(404 if self.user else 401, f"Repository not found: {name}", "RepoNotFound")
        match self.command, call:
            case "GET", "" | "revision":
                return self._info(repo, repo.at(revision))
            case "GET", "tree":
                return self._tree(repo.at(revision), PurePosixPath(path))
            case "POST", "paths-info":
                tree, paths = repo.at(revision).tree(), parse_qs(self.body.decode())["paths"]
                return _json([tree[path] for path in paths if path in tree])
            case "GET", "refs":
                main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.at("main").id}
                return _json({"branches": [main], "tags": [], "converts": []})
            case "GET", "commits":
                behind = repo.commits[repo.commits.index(repo.at(revision)) :: -1]
                more = {"date": DATE, "message": "", "authors": [{"user": repo.owner}]}
                return _json([{"id": each.id, "title": each.title, **more} for each in behind])
            case "GET" | "HEAD", "resolve":
                return self._resolve(repo, repo.at(revision), path)
            case "POST", "preupload" | "batch" | "commit":
                self._check_user(name.split("/")[0])
                return getattr(self, f"_{call}")(repo, revision)
        raise Refusal(405, f"{self.command} {self.path} is not served")

    def _check_user(self, namespace: str | None) -> None:
        if self.user is None:
            raise Refusal(401, "Invalid username or password.")
        if self.user != namespace:
            raise Refusal(403, f"{self.user} may not write to the namespace {namespace}")

    def _create_repo(self, wanted: dict[str, Any]) -> Answer:
        owner: str = wanted.get("organization") or self.user or ""
        self._check_user(owner)
        kind, name = KINDS[wanted.get("type") or "model"], f"{owner}/{wanted['name']}"
        url = f"{self.hub.url}/{'' if kind == 'models' else kind + '/'}{name}"
        if (kind, name) in self.hub._repos:
            return _json({"error": f"You already created this repo: {name}", "url": url}, 409)
        repo = self.hub._repos[kind, name] = Repo(name, owner, wanted.get("visibility") == "private")
        repo.commit("initial commit", {".gitattributes": self.hub._keep(b"*.safetensors filter=lfs -text\n")})
        return _json({"url": url})

    def _info(self, repo: Repo, commit: Commit) -> Answer:
        files, blobs = commit.files.items(), "blobs" in self.query
        siblings = [{"rfilename": path} | ({"blobId": file["oid"], **file} if blobs else {}) for path, file in files]
        about = {"id": repo.name, "private": repo.private, "gated": "auto" if repo.gated else False, "tags": []}
        return _json({**about, "sha": commit.id, "lastModified": DATE, "siblings": siblings})

    def _tree(self, commit: Commit, folder: PurePosixPath) -> Answer:
        tree = commit.tree()
        if folder.name and tree.get(str(folder), {}).get("type") != "directory":
            raise Refusal(404, f"{folder} does not exist", "EntryNotFound", commit.id)
        reach = None if "true" in self.query.get("recursive", []) else 1
        return _json([entry for path, entry in tree.items() if folder in PurePosixPath(path).parents[:reach]])

    def _resolve(self, repo: Repo, commit: Commit, path: str) -> Answer:
        if repo.gated and self.user != repo.owner:
            raise Refusal(403 if self.user else 401, f"Access to {repo.name} is restricted.", "GatedRepo")
        if path not in commit.files:
            raise Refusal(404, f"{path} does not exist", "EntryNotFound", commit.id)
        size, etag = commit.files[path]["size"], commit.files[path]["etag"]
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{etag}"'}
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(size)} if "lfs" in commit.files[path] else {}
        body = (self.hub._root / etag).read_bytes()
        if not (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            return body, 200, headers
        start, stop = int(asked[1]), min(int(asked[2] or size) + 1, size)
        return body[start:stop], 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}

    def _preupload(self, repo: Repo, revision: str) -> Answer:
        files, present = json.loads(self.body)["files"], repo.at(revision).files
        for file in files:
            lfs = _is_lfs(file["path"], file["size"], base64.b64decode(file.pop("sample")))
            oid = present.get(file["path"], {}).get("etag")
            file |= {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}
        return _json({"files": files})

    def _batch(self, repo: Repo, revision: str) -> Answer:
        objects = json.loads(self.body)["objects"]
        for each in objects:
            if not (self.hub._root / each["oid"]).exists():
                href = f"{self.hub.url}/lfs/{each['oid']}"
                each["actions"] = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
        return _json({"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, revision: str) -> Answer:
        header, *changes = (json.loads(line) for line in self.body.splitlines())
        head = repo.at(revision)
        if (parent := header["value"].get("parentCommit") or head.id) != head.id:
            raise Refusal(412, f"A commit has happened since. Please refresh and try again. {parent} is not {head.id}")
        files = dict(head.files)
        for change in changes:
            match change["key"], change["value"]:
                case "file", {"path": path, "content": content}:
                    files[path] = self.hub._keep(base64.b64decode(content), lfs=False)
                case "lfsFile", {"path": path, "oid": sha256}:
                    files[path] = self.hub._lfs_entry(sha256)
                case "deletedFile" | "deletedFolder", {"path": path}:
                    gone = [each for each in files if each == path or each.startswith(path.rstrip("/") + "/")]
                    if not gone:
                        raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
                    files = {each: file for each, file in files.items() if each not in gone}
                case key, value:
                    raise Refusal(400, f"a commit cannot hold {key} {value}")
        commit = repo.commit(header["value"]["summary"], files)
        page = self.route.removeprefix("/api").removeprefix("/models").removesuffix(revision)
        return _json({"commitOid": commit.id, "commitUrl": f"{self.hub.url}{page}{commit.id}"})


def _flipped(data: bytes, bits: int = 255) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ bits]) + data[middle + 1 :]


def _is_lfs(path: str, size: int, sample: bytes) -> bool:
    return path.endswith(LFS_SUFFIXES) or size > 10 * 2**20 or b"\0" in sample[:512]


def _json(data: object, status: int = 200) -> Answer:
    return json.dumps(data).encode(), status, {"Content-Type": "application/json"}
