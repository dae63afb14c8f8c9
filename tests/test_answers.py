"""The record of paid answers: synced lines, what a kill or damage leaves, who may write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dkd_cli.errors import SystemProblem
from dkd_cli.labelling.answers import FILE, AnswerStore, Spending, answers_root, read_ledger, text_key

ASKED = {"kind": "asked", "run": "r", "worst": 0.5}
ANSWER = {"kind": "answer", "run": "r", "logprobs": {"a": -0.1}, "tokens": [10, 1]}


def opened(folder: Path, warnings: list[str] | None = None) -> AnswerStore:
    return AnswerStore(folder, {"model": "m"}, (warnings if warnings is not None else []).append)


def test_answers_are_found_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append([{**ASKED, "key": "k"}])
    store.append([{**ANSWER, "key": "k"}])
    store.close()
    again = opened(tmp_path)
    assert again.ledger.answers["k"].best == "a"
    assert again.ledger.spending["r"] == Spending(made=1, lost=0, prompt_tokens=10, completion_tokens=1)
    again.close()


def test_a_request_without_an_answer_is_spent_and_one_refused_unbilled_is_not(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append([{**ASKED, "key": "lost"}, {**ASKED, "key": "refused"}])
    store.append([{"kind": "unbilled", "key": "refused", "run": "r"}])
    store.close()
    assert read_ledger(tmp_path, print).spending["r"] == Spending(made=1, lost=1, worst=0.5)


def test_a_torn_last_line_is_cut_off_and_the_next_is_whole(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append([{**ANSWER, "key": "k"}])
    store.close()
    with (tmp_path / FILE).open("ab") as handle:
        handle.write(b'{"kind": "answer", "key": "half')
    warnings: list[str] = []
    store = opened(tmp_path, warnings)
    store.append([{**ANSWER, "key": "n"}])
    store.close()
    assert set(read_ledger(tmp_path, warnings.append).answers) == {"k", "n"}
    assert not warnings


def test_a_damaged_line_is_left_aside_with_a_warning(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append([{**ANSWER, "key": "k"}, {**ANSWER, "key": "n"}])
    store.close()
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b'"a": -0.1', b'"b": -0.1', 1))
    warnings: list[str] = []
    assert set(read_ledger(tmp_path, warnings.append).answers) == {"n"}
    assert "1 damaged" in warnings[0]


def test_the_first_answer_stays(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append([{**ANSWER, "key": "k"}, {**ANSWER, "key": "k", "logprobs": {"b": -0.1}}])
    assert store.ledger.answers["k"].best == "a"
    store.close()


def test_a_second_process_may_not_write(tmp_path: Path) -> None:
    store = opened(tmp_path)
    script = (
        "import sys; from pathlib import Path; from dkd_cli.labelling.answers import AnswerStore\n"
        "AnswerStore(Path(sys.argv[1]), {}, print)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )
    assert "another process is asking" in done.stderr
    store.close()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemProblem, match="cannot be written"):
        opened(tmp_path / "file" / "below")


def test_the_place_is_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DKD_ANSWERS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert answers_root() == tmp_path / "dkd" / "answers"


def test_a_pair_is_another_text_than_its_first_half() -> None:
    assert len({text_key("a", None), text_key("a", ""), text_key("a", "b"), text_key("b", "a")}) == 4
