"""A folder is whole or absent, and a flipped bit shows."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest
from damage import flip
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from dkd_cli.errors import SystemProblem
from dkd_cli.manifests import damage, seal, staged


def make(final: Path) -> Path:
    with staged(final) as folder:
        (folder / "weights").write_bytes(bytes(range(200)))
        (folder / "deep").mkdir()
        (folder / "deep" / "words").write_text("words")
    return final


def test_it_is_absent_until_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "made"
    with staged(final) as folder:
        (folder / "weights").write_text("w")
        assert not final.exists()
    assert damage(final) is None
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter")]
)
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(SystemProblem, match=r"cannot be written \((No space|Pytorch)"),
        staged(tmp_path / "made"),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_on_a_full_disk_is_told_in_a_line(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({f"word{number}": number for number in range(500)}, unk_token="word0"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        with pytest.raises(SystemProblem, match="cannot be written"), staged(tmp_path / "made") as folder:
            tokenizer.save(str(folder / "tokenizer.json"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_has_nothing_to_do_with_the_disk_stays_itself(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "made"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_at_any_step_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, real = 0, os.fsync

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    ends = []
    for number in range(8):
        left = number
        try:
            make(tmp_path / f"made-{number}")
        except SystemProblem:
            ends.append(damage(tmp_path / f"made-{number}") or "whole")
        else:
            ends.append("made")
    # Two files, a folder, the manifest and the folder around it; after the rename only the last sync is left.
    assert ends == [*["has no dkd-manifest.json"] * 5, "whole", "made", "made"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made-5", "made-6", "made-7"]


@pytest.mark.parametrize("name", ["weights", "deep/words", "dkd-manifest.json"])
@pytest.mark.parametrize("place", [0, 2, -1])
def test_a_flipped_bit_shows(tmp_path: Path, name: str, place: int) -> None:
    made = make(tmp_path / "made")
    flip(made / name, place)
    assert damage(made) == f"has a damaged {name}"


def test_a_cut_or_missing_file_shows(tmp_path: Path) -> None:
    made = make(tmp_path / "made")
    (made / "weights").write_bytes(bytes(range(199)))
    assert damage(made) == "has a damaged weights"
    (made / "weights").unlink()
    assert damage(made) == "lacks weights"
    (made / "dkd-manifest.json").write_text("")
    assert damage(made) == "has a damaged dkd-manifest.json"
    (made / "dkd-manifest.json").unlink()
    assert damage(made) == "has no dkd-manifest.json"


def test_what_somebody_put_beside_it_is_no_damage(tmp_path: Path) -> None:
    made = make(tmp_path / "made")
    (made / "README.md").write_text("notes")
    assert damage(made) is None


def test_what_may_change_later_is_left_out(tmp_path: Path) -> None:
    for name in ("weights", "later"):
        (tmp_path / name).write_text("as sealed")
    seal(tmp_path, but=("later",))
    (tmp_path / "later").write_text("as changed")
    assert damage(tmp_path) is None
    (tmp_path / "weights").write_text("as changed")
    assert damage(tmp_path) == "has a damaged weights"
