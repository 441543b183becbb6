"""The hub for tests, met by the unmodified clients (which read their environment at import: hence the processes)."""

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow
import pyarrow.parquet
import pytest
from hub_server import Fault, Hub

README = "---\nlicense: apache-2.0\n---\n# A card\n"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub", tokens={"hf_alice": "alice", "hf_bob": "bob"}) as hub:
        yield hub


def run(hub: Hub, home: Path, script: str, token: str = "", *arguments: object) -> dict:
    """What a client process prints as JSON on its last line."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    env = {**os.environ, **hub.env(home, token)}
    done = subprocess.run(command, env=env, cwd=home.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write(folder: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    """Put files into a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return files


def ask(hub: Hub, method: str, path: str, body: str = "", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """One request without a client library: the answer and its body."""
    with closing(http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()


PUSH = """
import json, sys
from pathlib import Path
from huggingface_hub import CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

api, folder, said = HfApi(), Path(sys.argv[1]), {}
said["user"] = api.whoami()["name"]
said["url"] = api.create_repo("alice/model", private=True)
said["again"] = api.create_repo("alice/model", exist_ok=True)
first = api.repo_info("alice/model").sha
said["pushed"] = api.upload_folder(repo_id="alice/model", folder_path=folder, parent_commit=first).oid
said["unchanged"] = api.upload_folder(repo_id="alice/model", folder_path=folder).oid
try:
    api.upload_file(path_or_fileobj=b"late", path_in_repo="late.txt", repo_id="alice/model", parent_commit=first)
except HfHubHTTPError as error:
    said["stale"] = error.response.status_code
try:
    api.create_repo("bob/model")
except HfHubHTTPError as error:
    said["foreign"] = error.response.status_code
copy = Path(snapshot_download("alice/model"))
said["same"] = all((copy / path.relative_to(folder)).read_bytes() == path.read_bytes()
                   for path in folder.rglob("*") if path.is_file())
entries = [entry for entry in api.list_repo_tree("alice/model", recursive=True) if hasattr(entry, "size")]
said["listed"] = {entry.path: entry.lfs and entry.lfs.sha256 for entry in entries}
said["top"] = sorted(entry.path for entry in api.list_repo_tree("alice/model"))
said["paths"] = [entry.path for entry in api.get_paths_info("alice/model", ["logs", "logs/a.txt", "none"])]
said["branches"] = {ref.name: ref.target_commit for ref in api.list_repo_refs("alice/model").branches}
said["sizes"] = {file.rfilename: file.size for file in api.model_info("alice/model", files_metadata=True).siblings}
api.create_commit("alice/model", [CommitOperationDelete("logs/"), CommitOperationDelete("empty.txt")],
                  commit_message="Tidy")
said["history"] = [[commit.commit_id, commit.title] for commit in api.list_repo_commits("alice/model")]
said["old"] = sorted(path.name for path in Path(snapshot_download("alice/model", revision=said["pushed"])).iterdir())
print(json.dumps(said))
"""


@pytest.mark.slow
def test_a_client_pushes_and_reads_back(hub: Hub, tmp_path: Path) -> None:
    weights = os.urandom(70_000)
    files = write(
        tmp_path / "out",
        {"README.md": README.encode(), "model.safetensors": weights, "logs/a.txt": b"1\n", "empty.txt": b""},
    )
    said = run(hub, tmp_path / "home", PUSH, "hf_alice", tmp_path / "out")
    assert said["user"] == "alice"
    assert said["url"] == said["again"] == f"{hub.url}/alice/model"
    assert said["pushed"] == said["unchanged"]
    assert (said["stale"], said["foreign"]) == (412, 403)
    assert said["same"]
    assert {path for path, sha256 in said["listed"].items() if sha256} == {"model.safetensors"}
    assert set(said["listed"]) == {".gitattributes", *files}
    assert said["top"] == [".gitattributes", "README.md", "empty.txt", "logs", "model.safetensors"]
    assert said["paths"] == ["logs", "logs/a.txt"]
    assert said["branches"] == {"main": said["pushed"]}
    assert said["sizes"]["model.safetensors"] == len(weights)
    assert said["old"] == [".gitattributes", "README.md", "empty.txt", "logs", "model.safetensors"]

    assert [title for _, title in said["history"]] == ["Tidy", "Upload folder using huggingface_hub", "initial commit"]
    assert [id for id, _ in said["history"]] == [commit.id for commit in hub.commits("models", "alice/model")]
    pushed = hub.files("models", "alice/model", said["pushed"])
    assert {path: pushed[path] for path in files} == files
    assert set(hub.files("models", "alice/model")) == {".gitattributes", "README.md", "model.safetensors"}
    puts = [path for method, path in hub.requests if method == "PUT"]
    assert len(puts) == 1


REFUSED = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download

def name(call, *arguments, **named):
    try:
        return str(call(*arguments, **named))
    except Exception as error:
        return type(error).__name__, getattr(getattr(error, "response", None), "status_code", None)

api = HfApi()
print(json.dumps({
    "bad whoami": name(api.whoami, token="hf_wrong"),
    "bad info": name(api.model_info, "ns/open", token="hf_wrong"),
    "private": name(api.model_info, "alice/secret"),
    "private of another": name(api.model_info, "alice/secret", token="hf_bob"),
    "private of mine": name(lambda: api.model_info("alice/secret", token="hf_alice").id),
    "missing": name(api.model_info, "ns/none"),
    "revision": name(api.model_info, "ns/open", revision="none"),
    "entry": name(hf_hub_download, "ns/open", "none.txt"),
    "folder": name(lambda: list(api.list_repo_tree("ns/open", "none"))),
    "gated": name(hf_hub_download, "ns/gated", "config.json"),
    "gated info": name(lambda: api.model_info("ns/gated").gated),
    "gated for mine": name(lambda: open(hf_hub_download("ns/gated", "config.json", token="hf_alice")).read()),
    "card": name(api.upload_file, path_or_fileobj=sys.argv[1].encode(), path_in_repo="README.md",
                 repo_id="alice/secret", token="hf_alice"),
}))
"""


@pytest.mark.slow
def test_refusals_become_the_errors_of_the_client(hub: Hub, tmp_path: Path) -> None:
    hub.validate_yaml = False
    write(tmp_path / "files", {"config.json": b"{}"})
    hub.add("models", "ns/open", tmp_path / "files")
    hub.add("models", "ns/gated", tmp_path / "files", gated=True, owner="alice")
    hub.add("models", "alice/secret", tmp_path / "files", private=True)
    assert run(hub, tmp_path / "home", REFUSED, "", README) == {
        "bad whoami": ["HfHubHTTPError", 401],
        "bad info": ["HfHubHTTPError", 401],
        "private": ["RepositoryNotFoundError", 401],
        "private of another": ["RepositoryNotFoundError", 404],
        "private of mine": "alice/secret",
        "missing": ["RepositoryNotFoundError", 401],
        "revision": ["RevisionNotFoundError", 404],
        "entry": ["RemoteEntryNotFoundError", 404],
        "folder": ["RemoteEntryNotFoundError", 404],
        "gated": ["GatedRepoError", 401],
        "gated info": "auto",
        "gated for mine": "{}",
        "card": ["JSONDecodeError", None],  # a hub without the route: its page of HTML is read as JSON
    }


LOAD = """
import json, sys
from datasets import load_dataset
from huggingface_hub import HfApi
from transformers import AutoModel, BertConfig, BertModel

said = {"rows": load_dataset("uoft-cs/tiny", split="train")["label"][:]}
said["streamed"] = [row["label"] for row in load_dataset("uoft-cs/tiny", "plain_text", split="train", streaming=True)]
config = BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
model = BertModel(config)
model.push_to_hub("alice/bert", token="hf_alice")
loaded = AutoModel.from_pretrained("alice/bert", dtype="float32")
said["equal"] = all(value.equal(loaded.state_dict()[name]) for name, value in model.state_dict().items())
print(json.dumps(said))
"""
CARD = """---
configs:
- config_name: plain_text
  data_files:
  - split: train
    path: plain_text/train-*
---
"""


@pytest.mark.slow
def test_datasets_and_models_load_by_name(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    write(folder, {"README.md": CARD.encode(), "plain_text/.keep": b""})
    table = pyarrow.table({"text": [f"row {row}" for row in range(50)], "label": list(range(50))})
    pyarrow.parquet.write_table(table, folder / "plain_text/train-00000-of-00001.parquet")
    hub.add("datasets", "uoft-cs/tiny", folder)
    said = run(hub, tmp_path / "home", LOAD)
    assert said == {"rows": list(range(50)), "streamed": list(range(50)), "equal": True}
    assert [commit.title for commit in hub.commits("models", "alice/bert")] == ["Upload model", "initial commit"]


FAULTY = """
import json, time
from huggingface_hub import HfApi

api, said = HfApi(token="hf_alice"), {}
api.create_repo("alice/model")
try:
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id="alice/model")
except Exception as error:
    said["lost"] = type(error).__name__
start = time.monotonic()
api.upload_file(path_or_fileobj=b"2", path_in_repo="b.bin", repo_id="alice/model")
said["retried"] = time.monotonic() - start
try:
    api.model_info("alice/model")
except Exception as error:
    said["busy"] = [error.response.status_code, error.response.headers["Retry-After"]]
print(json.dumps(said))
"""


@pytest.mark.slow
def test_faults_meet_the_clients(hub: Hub, tmp_path: Path) -> None:
    hub.faults += [
        Fault("/commit/", lost=True),
        Fault("/objects/batch$", status=503),
        Fault("^/lfs/", method="PUT", drop=True),
        Fault("^/api/models/alice/model$", status=429, headers={"Retry-After": "1"}),
    ]
    said = run(hub, tmp_path / "home", FAULTY)
    assert said["lost"] == "ReadError"
    assert said["retried"] > 2  # the client waits a second before each second attempt
    assert said["busy"] == [429, "1"]
    assert {"a.txt", "b.bin"} < set(hub.files("models", "alice/model"))
    assert len(hub.commits("models", "alice/model")) == 3
    assert not any(fault.times for fault in hub.faults)


def test_each_fault_does_what_it_says(hub: Hub, tmp_path: Path) -> None:
    data = bytes(range(100))
    write(tmp_path / "files", {"x.bin": data})
    hub.add("models", "ns/x", tmp_path / "files")
    path = "/ns/x/resolve/main/x.bin"
    hub.faults.append(Fault(r"\.bin$", method="GET", status=503, times=2))
    assert [ask(hub, method, path)[0].status for method in ("HEAD", "GET", "GET", "GET")] == [200, 503, 503, 200]
    for fault in (Fault("/resolve/", drop=True), Fault("/resolve/", lost=True)):
        hub.faults.append(fault)
        with pytest.raises(ConnectionResetError):
            ask(hub, "GET", path)
        assert ask(hub, "GET", path)[1] == data
    hub.faults.append(Fault("/resolve/", corrupt=True))
    assert ask(hub, "HEAD", path)[0].getheader("Content-Length") == "100"
    answer, corrupt = ask(hub, "GET", path)
    assert (answer.status, len(corrupt)) == (200, 100)
    assert sum(one != other for one, other in zip(corrupt, data, strict=True)) == 1
    hub.faults.append(Fault("/resolve/", hang=0.3))
    start = time.monotonic()
    assert ask(hub, "GET", path)[1] == data
    assert time.monotonic() - start > 0.3
    assert hub.requests.count(("GET", path)) == 9


def test_parts_of_a_file(hub: Hub, tmp_path: Path) -> None:
    data = bytes(range(100))
    write(tmp_path / "files", {"x.bin": data, "x.txt": b"text"})
    commit = hub.add("models", "x", tmp_path / "files")
    path = f"/x/resolve/{commit}/x.bin"
    for asked, start, stop in (("bytes=0-9", 0, 10), ("bytes=90-", 90, 100), ("bytes=90-500", 90, 100)):
        answer, body = ask(hub, "GET", path, Range=asked)
        assert (answer.status, body) == (206, data[start:stop])
        assert answer.getheader("Content-Range") == f"bytes {start}-{stop - 1}/100"
    assert ask(hub, "HEAD", path)[0].getheader("X-Linked-Size") == "100"
    plain = ask(hub, "HEAD", "/x/resolve/main/x.txt")[0]
    assert plain.getheader("X-Linked-Size") is None
    assert plain.getheader("ETag") == '"f3a34851d44d6b97c90fbb99dd3d18c261b9a237"'  # git hash-object
    assert ask(hub, "GET", "/x/resolve/main/%E6%97%A5")[0].getheader("X-Repo-Commit") == commit


def test_one_of_many_commits_on_one_parent_wins(hub: Hub, tmp_path: Path) -> None:
    write(tmp_path / "files", {"x.txt": b"first"})
    parent = hub.add("datasets", "alice/x", tmp_path / "files")

    def commit(number: int) -> tuple[int, bytes]:
        header = {"key": "header", "value": {"summary": f"number {number}", "parentCommit": parent}}
        change = {"key": "file", "value": {"path": "x.txt", "content": base64.b64encode(b"%d" % number).decode()}}
        body = "\n".join(map(json.dumps, (header, change)))
        answer, said = ask(hub, "POST", "/api/datasets/alice/x/commit/main", body, Authorization="Bearer hf_alice")
        return answer.status, said

    with ThreadPoolExecutor(8) as threads:
        answers = dict(threads.map(commit, range(8)))
    assert set(answers) == {200, 412}
    won, before = hub.commits("datasets", "alice/x")
    assert json.loads(answers[200])["commitUrl"] == f"{hub.url}/datasets/alice/x/commit/{won.id}"
    assert before.id == parent
    assert hub.files("datasets", "alice/x") == {"x.txt": won.title.removeprefix("number ").encode()}
    assert hub.files("datasets", "alice/x", parent) == {"x.txt": b"first"}


def test_what_is_not_served(hub: Hub, tmp_path: Path) -> None:
    assert ask(hub, "GET", "/api/nothing/of/the/kind")[0].status == 404
    with pytest.raises(ValueError, match="'model' is none of models, datasets, spaces"):
        hub.add("model", "ns/x", tmp_path)
