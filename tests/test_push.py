"""`dkd push` against a stand-in of the hub's API: what is uploaded, to whom it shows, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import heard
from small import LABELS, save_classifier


class Hub(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.private: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def reply(self, value: object, status: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.tokens.add(self.headers.get("Authorization"))
        name = self.path.removeprefix("/api/models/").split("?")[0].removesuffix("/revision/main")
        if name in self.server.private:
            self.reply({"id": name, "private": self.server.private[name], "sha": "0" * 40, "siblings": []})
        else:
            self.reply({"error": "not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self) -> None:
        self.server.tokens.add(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.server.private[name] = wanted.get("private", wanted.get("visibility") == "private")
            self.reply({"url": f"{self.server.address}/{name}", "id": name, "name": name})
        elif self.path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in json.loads(body)["files"]
            ]
            self.reply({"files": files, "commitOid": "0" * 40})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            address = f"{self.server.address}/team/small/commit/1"
            self.reply({"commitUrl": address, "commitOid": "1" * 40, "success": True})
        else:
            self.reply({"error": f"unknown {self.path}"}, 404)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def model(tmp_path: Path, tiny_encoder: Path) -> Path:
    folder = save_classifier(tmp_path / "student", tiny_encoder, LABELS)
    (folder / "README.md").write_text("---\nlibrary_name: transformers\n---\n\n# student\n", encoding="utf-8")
    (folder / ".hidden").write_text("not for the hub", encoding="utf-8")
    return folder


def pushed(hub: Hub, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its settings when it is imported."""
    settings = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_stand_in"}
    return subprocess.run(
        [sys.executable, "-m", "dkd_cli", "push", *map(str, words)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_model_and_its_card_are_uploaded_privately(hub: Hub, model: Path) -> None:
    said = pushed(hub, model, "--to", "team/small")
    assert (said.returncode, said.stderr) == (0, "")
    assert hub.private == {"team/small": True}
    names = {path.name for path in model.iterdir() if not path.name.startswith(".")}
    assert {"README.md", "model.safetensors"} <= names == set(hub.files)
    assert all(hub.files[name] == (model / name).read_bytes() for name in names)
    assert f"uploaded: {hub.address}/team/small/commit/1" in said.stdout
    assert "Bearer hf_stand_in" in hub.tokens
    assert "hf_stand_in" not in said.stdout


def test_a_public_repository_wants_to_be_asked_for(hub: Hub, model: Path) -> None:
    hub.private["team/small"] = False
    said = pushed(hub, model, "--to", "team/small")
    assert said.returncode == 5
    assert said.stderr == (
        "dkd: error: team/small: is a public repository; add --public, or choose another name with --to\n"
    )
    assert hub.files == {}


def test_a_dry_run_lists_the_files_and_asks_the_hub_nothing(model: Path) -> None:
    said = heard("push", model, "--to", "team/small", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "  README.md  " in said.out
    assert ".hidden" not in said.out
    assert said.out.endswith("nothing was uploaded\n")


@pytest.mark.parametrize("name", ["small", "team/", "team/a/b", "../x", "team/small b"])
def test_a_name_that_is_no_repository(model: Path, name: str) -> None:
    said = heard("push", model, "--to", name)
    assert said.code == 2
    assert said.err == f"dkd: error: --to: {name!r} is no repository; write it as org/name\n"


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    said = heard("push", tmp_path, "--to", "team/small")
    assert said.code == 4
    assert "holds no model" in said.err


def test_a_hub_that_is_switched_off(model: Path) -> None:
    """As it is in all tests."""
    said = heard("push", model, "--to", "team/small")
    assert said.code == 5
    assert said.err == "dkd: error: team/small: the hub is switched off; unset HF_HUB_OFFLINE\n"
