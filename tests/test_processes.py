"""What processes exchange: each sees the same, an error of one is an error of all, one needs no other."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from processes import in_processes

from dkd_cli.engine.machine.processes import ALONE, WHOLE, Processes, Share, meeting
from dkd_cli.errors import DataError, DkdError, SystemProblem


def test_one_process_talks_to_itself() -> None:
    values = torch.arange(3.0, requires_grad=True)
    which, rows = WHOLE.mine(torch.tensor([2, 0]))
    assert which.tolist() == [0, 1]
    assert rows.tolist() == [2, 0]
    assert Share.of(ALONE, 3).size == Share.dealt(ALONE, 3).size == 3
    assert not WHOLE.gather(values).requires_grad
    assert WHOLE.agreed(values) is values
    assert WHOLE.mean(values, 3).item() == values.mean().item()
    assert ALONE.all("word") == ["word"]
    assert ALONE.decide(lambda: 3) == 3
    with pytest.raises(DataError), ALONE.together():
        raise DataError("a file", "is missing", "find it")
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.part(7) == slice(0, 7)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [0, 1, 5, 8, 33])
def test_parts_are_contiguous_and_even(size: int, count: int) -> None:
    parts = [Processes(rank, count).part(size) for rank in range(count)]
    assert [row for part in parts for row in range(size)[part]] == list(range(size))
    assert max(part.stop - part.start for part in parts) - min(part.stop - part.start for part in parts) <= 1


def exchanged(peers: Processes) -> dict[str, Any]:
    rows = torch.arange(10.0, 15.0)[[slice(0, 2), slice(2, 2), slice(2, 5)][peers.rank]]
    share = Share.of(peers, len(rows))
    which, mine = share.mine(torch.tensor([4, 0, 2]))
    return {
        "sizes": list(share.sizes),
        "gathered": share.gather(rows),
        "pairs": share.gather(torch.stack([rows, -rows], dim=1)),
        "labels": share.gather(rows.long()),
        "mine": [which.tolist(), mine.tolist()],
        "mean": share.mean(rows, 5),
        "agreed": share.agreed(torch.tensor([peers.rank + 7])),
        "all": peers.all({"rank": peers.rank}),
        "any": [peers.any(peers.rank == 1), peers.any(False)],
        "decided": peers.decide(lambda: peers.rank),
        "leads": peers.leads,
    }


def test_all_processes_see_the_same_batch() -> None:
    found = in_processes(3, exchanged)
    for one in found:
        assert one["sizes"] == [2, 0, 3]
        assert one["gathered"].tolist() == [10, 11, 12, 13, 14]
        assert one["pairs"][:, 1].tolist() == [-10, -11, -12, -13, -14]
        assert one["labels"].dtype == torch.long
        assert one["agreed"].item() == 7
        assert one["all"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
        assert one["any"] == [True, False]
        assert one["decided"] == 0
    assert [one["mine"] for one in found] == [[[1], [0]], [[], []], [[0, 2], [2, 0]]]
    assert torch.stack([one["mean"] for one in found]).mean().item() == pytest.approx(12)
    assert [one["leads"] for one in found] == [True, False, False]


def told(peers: Processes) -> list[Any]:
    def second_fails() -> int:
        if peers.rank == 1:
            raise DataError("a file", "is missing", "find it")
        return peers.rank

    def leader_fails() -> None:
        raise SystemProblem("a folder", f"is locked for {peers.rank}", "wait")

    found: list[Any] = []

    def together(work: Callable[[], None]) -> None:
        with peers.together():
            work()

    for way, work in ((together, second_fails), (peers.decide, leader_fails)):
        try:
            way(work)
        except DkdError as error:
            found.append([str(error), error.exit_code, error.everywhere])
    with peers.together():
        rank = peers.rank
    return [*found, rank]


def test_an_error_of_one_is_an_error_of_all() -> None:
    errors = [
        ["a file: is missing; find it", 3, True],
        ["a folder: is locked for 0; wait", 5, True],
    ]
    assert in_processes(2, told) == [[*errors, 0], [*errors, 1]]


def fails_alone(rank: int, port: int, codes: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with meeting() as peers:
            if rank == 1:
                raise DataError("a file", "is missing here", "find it")
            peers.any(False)
    except DkdError as error:
        (codes / str(rank)).write_text(f"{error.exit_code} {error}")


def test_who_is_left_alone_ends_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    mp.start_processes(fails_alone, (port, tmp_path), nprocs=2, start_method="fork")
    assert (tmp_path / "1").read_text() == "3 a file: is missing here; find it"
    lost = "5 process 0: has lost another process of this run; see the output of that one"
    assert (tmp_path / "0").read_text() == lost
