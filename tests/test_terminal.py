"""What is printed: plain off a terminal, drawn on one, nothing when quiet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dkd_cli.report import terminal as module
from dkd_cli.report.printable import printable
from dkd_cli.report.tables import Column
from dkd_cli.report.terminal import PLAIN_WIDTH, Meter, Terminal, duration


@pytest.fixture
def plain() -> tuple[Terminal, io.StringIO]:
    stream = io.StringIO()
    return Terminal(console=Console(file=stream, force_terminal=False, width=80)), stream


@pytest.fixture
def drawn() -> tuple[Terminal, io.StringIO]:
    stream = io.StringIO()
    # rich asks TERM too, and a CI job has it as dumb or not at all
    console = Console(
        file=stream,
        force_terminal=True,
        force_interactive=True,
        width=80,
        color_system=None,
        _environ={"TERM": "xterm"},
    )
    return Terminal(console=console), stream


def everything(terminal: Terminal) -> None:
    terminal.say("a line with [brackets]")
    with terminal.progress("outer", 4) as advance:
        advance(2, loss=0.5)
        with terminal.progress("inner", 3) as inner:
            inner(3)
        advance(2, loss=0.25)
    terminal.table("scores", ["model", Column("accuracy", 2)], [["small", 0.5], ["large", None]], ["a note"])
    terminal.histogram("spread", [0.0, 0.1, 1.0], bins=2)


def test_a_file_gets_no_control_characters(plain: tuple[Terminal, io.StringIO]) -> None:
    terminal, stream = plain
    everything(terminal)
    text = stream.getvalue()
    assert "\r" not in text
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "[brackets]" in text
    assert "outer  4/4 examples" in text
    assert "loss 0.25" in text
    assert "inner" not in text


def test_progress_says_a_line_now_and_then(
    plain: tuple[Terminal, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    terminal, stream = plain
    with terminal.progress("training", 4) as advance:
        advance(1)
        with terminal.progress("checking", 2) as inner:
            inner(1)
            inner(1)
        advance(3)
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["training", "1/4 examples"],
        ["checking", "1/2 examples"],
        ["checking", "2/2 examples"],
        ["training", "4/4 examples"],
    ]


def test_a_terminal_draws_nested_progress(drawn: tuple[Terminal, io.StringIO]) -> None:
    terminal, stream = drawn
    everything(terminal)
    text = stream.getvalue()
    assert "4/4 examples" in text
    assert "\x1b[?25h" in text, "the cursor comes back"
    with pytest.raises(KeyboardInterrupt), terminal.progress("outer", 4), terminal.progress("inner", 4):
        raise KeyboardInterrupt
    with terminal.progress("again", 1) as advance:
        advance(1)
    assert "again" in stream.getvalue()


def test_quiet_prints_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(quiet=True)
    everything(terminal)
    terminal.warn("the disk is\x07 nearly full")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "dkd: warning: the disk is\\x07 nearly full\n"


def test_wide_tables_are_split_for_files_and_narrow_terminals(
    plain: tuple[Terminal, io.StringIO], drawn: tuple[Terminal, io.StringIO]
) -> None:
    columns = ["model", *(f"column-{i:02d}" for i in range(15))]
    values = [f"value-{i:02d}" for i in range(15)]
    for terminal, _ in (plain, drawn):
        terminal.table("wide", columns, [["the-model", *values]])
    assert all(len(line) <= PLAIN_WIDTH for line in plain[1].getvalue().splitlines())
    for text in (plain[1].getvalue(), drawn[1].getvalue()):
        assert all(text.count(value) == 1 for value in values)
        assert text.count("the-model") > 1
        assert "…" not in text


def test_numbers_stand_right_and_missing_ones_are_a_dash(plain: tuple[Terminal, io.StringIO]) -> None:
    terminal, stream = plain
    terminal.table("t", ["name", Column("speed-up", 1, "×")], [["a", 10.25], ["b\nc", None]])
    assert stream.getvalue().splitlines()[1:] == [
        "name  speed-up",
        "----  --------",
        "a        10.2×",
        "b c          –",
    ]


def test_what_the_encoding_lacks_is_spelt_in_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    terminal = Terminal(console=Console(file=stream, force_terminal=False))
    terminal.say("0.5 ± 0.1 × é")
    terminal.histogram("h", [1.0, 2.0], bins=2)
    stream.seek(0)
    text = stream.read()
    assert text.startswith("0.5 +- 0.1 x \\xe9\n")
    assert "#" in text


@pytest.mark.parametrize(
    ("values", "counts"),
    [([0, 0.1, 0.9, 1.0], [2, 2]), ([3.0, 3.0], [2]), ([-1.0, 1e9], [1, 1])],
)
def test_histogram_counts_every_value_once(
    plain: tuple[Terminal, io.StringIO], values: list[float], counts: list[int]
) -> None:
    terminal, stream = plain
    terminal.histogram("h", values, bins=2)
    assert [int(line.split()[-1]) for line in stream.getvalue().splitlines()[1:]] == counts


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_histogram_refuses_what_it_cannot_draw(
    plain: tuple[Terminal, io.StringIO], values: list[float]
) -> None:
    with pytest.raises(ValueError, match="finite"):
        plain[0].histogram("h", values)


def test_what_was_done_before_does_not_count_as_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0])
    meter = Meter("resumed", 1000, "examples", done=900, _started=next(clock))
    monkeypatch.setattr(module.time, "monotonic", lambda: 10.0)
    meter.advance(50, loss=0.526)
    assert meter.figures() == "950/1000 examples  5.0/s  loss 0.526  10 s left"


def test_what_comes_seldom_has_a_time_and_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter("comparison", 18, "runs", done=2, _started=0.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: 80.0)
    meter.advance(2)
    assert meter.figures() == "4/18 runs  40 s each  9 min 20 s left"


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (125, "2 min 05 s"), (4020, "1 h 07 min")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_printable_keeps_what_can_be_shown() -> None:
    assert printable("é\tß\x1b[2J", "utf-8") == "é\tß\\x1b[2J"
