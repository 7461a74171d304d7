"""`sweep`, `walk-forward` and `sensitivity`, as a person types them: what is given wrongly, and whether all answers agree.

Each command is typed into the entry point itself, in this process, so that its exit code and its sentence are looked at.
"""

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from trading_platform.backtest.bar_sources import ProvidedBars
from trading_platform.cli import main
from trading_platform.domain.compiled import UNCOMPILED
from trading_platform_tests.factories.strategy_files import BEYOND, PAST_THE_END, PEEK, line_of, source, write

BARS: Final = ("--data", "simulated", "--symbols", "SIMA", "--from", "2024-06-27", "--to", "2024-07-03")
"""Five sessions of one symbol."""
GRID: Final = ("--grid", "closes_below=3,15")
PARTS: Final = ("--train", "2", "--test", "1")
SWEEP: Final = ("sweep", "vwap_reclaim", *BARS)
WALK: Final = ("walk-forward", "vwap_reclaim", *BARS, *PARTS)
SENSITIVITY: Final = ("sensitivity", "vwap_reclaim", *BARS)
COMMANDS: Final = (SWEEP, WALK, SENSITIVITY)
WITH_A_GRID: Final = (SWEEP, WALK)
OUT: Final = ("--out", "out")
HIDDEN: Final = PEEK.replace("% 30 == 0", "% 30 == 0 and bar.close > 30.0")
"""Looks ahead where a share costs more than any of the bars that a trial makes up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said, and its exit code."""

    code: Any
    out: str
    err: str


Type = Callable[..., Answer]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command in a folder of the test's own."""
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TRADING_PLATFORM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def type_in(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["trading-platform", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Answer(code=ended.value.code, out=said.out, err=said.err)

    return type_in


def require_refused(typed: Type, words: Sequence[str], *said: str) -> None:
    """Fail unless the command ends with 2, nothing but one sentence that holds these words, and no file more."""
    before = sorted(Path().rglob("*"))
    answer = typed(*words)
    assert answer.code == 2, answer
    assert answer.out == ""
    error = answer.err.splitlines()[-1]
    # A word that no option takes is told by the parser, which says how the command is used before.
    assert answer.err == f"{error}\n" or answer.err.startswith("Usage: ")
    assert error.startswith("Error: ")
    assert error.endswith(".")
    for part in said:
        assert part in error
    # What Python keeps of a strategy's file is not the command's.
    assert [path for path in sorted(Path().rglob("*")) if "__pycache__" not in str(path)] == before


@pytest.mark.parametrize("command", WITH_A_GRID, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ((), ("--grid: nothing is to be varied", "name=1,2,3")),
        (
            ("closes_belw=3,5",),
            ("there is no parameter 'closes_belw'. Did you mean 'closes_below'?", "; and exit_plan.NAME"),
        ),
        (("exit_plan.time_stp=3",), ("exit_plan: there is no parameter 'time_stp'. Did you mean 'time_stop'?",)),
        (("exit_plan.scale_outs.9.target=1",), ("there is no scale-out 9",)),
        (
            ("closes_below=3,0",),
            ("grid at closes_below 0:", "closes_below is 0, outside [1, 390]. Give a value from 1"),
        ),
        (("closes_below=1.5",), ("closes_below is 1.5, which is not a whole number",)),
        (("stop_percent=nan",), ("grid at stop_percent nan:",)),
        (("closes_below=3,5,3",), ("grid: the values of closes_below are 3, 5, 3. Give at least one, and each once",)),
        (("closes_below=3", "closes_below=5"), ("--grid: closes_below is given twice",)),
        (("closes_below=1:390:1", "stop_bars=1:390:1"), ("grid: it has 152,100 combinations", "at most 100,000")),
        (("closes_below",), ("--grid: 'closes_below' names no values",)),
        (("closes_below=",), ("--grid: 'closes_below=' names no values",)),
        (("closes_below=3,few",), ("--grid: closes_below is 'few', which is no number",)),
        (("closes_below=1:9",), ("--grid: 'closes_below=1:9' is no range",)),
        (("closes_below=9:1:1",), ("'closes_below=9:1:1' does not rise",)),
        (("closes_below=1:9:0",), ("'closes_below=1:9:0' does not rise",)),
        (("stop_percent=1:inf:1",), ("'stop_percent=1:inf:1' is no range",)),
        (("stop_percent=nan:2:1",), ("'stop_percent=nan:2:1' is no range",)),
        ((f"closes_below=1:{'9' * 400}:1",), ("is no range",)),
        (("stop_percent=1:2:1e-320",), ("has more than 100,000 values. Give a larger step",)),
    ],
)
def test_a_grid_that_cannot_be_swept_is_refused(
    typed: Type, command: tuple[str, ...], grid: tuple[str, ...], said: tuple[str, ...]
) -> None:
    options = [word for one in grid for word in ("--grid", one)]
    require_refused(typed, [*command, *options, *OUT], *said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*SWEEP, *GRID, "--rank-by", "profits"), ("--rank-by: ", "'profits'. Did you mean profit? Known: profit, ")),
        ((*WALK, *GRID, "--by", "sharp"), ("--by: ", "'sharp'. Did you mean sharpe? Known: profit, ")),
        ((*SWEEP, *GRID, "--top", "0"), ("'--top'",)),
        ((*WALK, *GRID, "--train", "5"), ("there are 5 sessions, and one window takes 6. Give a longer range",)),
        ((*WALK, *GRID, "--train", "0"), ("train is 0 sessions. Give at least 1",)),
        ((*WALK, *GRID, "--test", "-1"), ("test is -1 sessions. Give at least 1",)),
        ((*WALK, *GRID, "--step", "0"), ("step is 0 sessions. Give at least 1",)),
        ((*WALK, *GRID, "--step", "-2"), ("step is -2 sessions. Give at least 1",)),
        ((*WALK, *GRID, "--test", "2", "--step", "1"), ("days would count twice. Give a step of at least 2",)),
        ((*WALK, *GRID, "--train", "two"), ("'--train': 'two' is not a valid integer",)),
        (("walk-forward", "vwap_reclaim", *BARS, *GRID, "--test", "1"), ("Missing option '--train'",)),
        ((*SENSITIVITY, "--slippage", "0,-1"), ("the slippage is -1 basis points. Give 0 to 9999",)),
        ((*SENSITIVITY, "--slippage", "1,1"), ("--slippage: 1 is given twice. Give each value once.",)),
        ((*SENSITIVITY, "--delay", "0,1,0"), ("--delay: 0 is given twice. Give each value once.",)),
        (
            (*SWEEP, *GRID, "--set", "closes_below=5"),
            ("--grid, --set: closes_below is both varied and set. Give it to",),
        ),
        ((*WALK, *GRID, "--set", "vwap_reclaim.closes_below=5"), ("closes_below is both varied and set",)),
        ((*SENSITIVITY, "--slippage", "10000"), ("the slippage is 10000 basis points",)),
        ((*SENSITIVITY, "--slippage", "0,some"), ("--slippage: '0,some' is no list of whole numbers. Write them as",)),
        ((*SENSITIVITY, "--slippage", "0.5"), ("--slippage: '0.5' is no list of whole numbers",)),
        ((*SENSITIVITY, "--delay", "-1"), ("entries are delayed by -1 bars. Give 0 to 389",)),
        ((*SENSITIVITY, "--delay", "390"), ("entries are delayed by 390 bars",)),
        ((*SENSITIVITY, "--delay", ""), ("--delay: '' is no list of whole numbers",)),
    ],
    ids=lambda value: " ".join(value[-2:]) if value[0] in {"sweep", "walk-forward", "sensitivity"} else None,
)
def test_an_option_that_cannot_be_used_is_refused(typed: Type, words: tuple[str, ...], said: tuple[str, ...]) -> None:
    out = () if words[0] == "sensitivity" else OUT
    require_refused(typed, [*words, *out], *said)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("named", "changes", "said"),
    [
        (("vwap_reclaim", "gap_and_go"), (), "STRATEGY: 2 strategies are named or active. Name one."),
        ((), (), "STRATEGY: 2 strategies are named or active. Name one."),
        (("vwap_reclam",), (), "there is no strategy 'vwap_reclam'. Did you mean 'vwap_reclaim'?"),
        (("mine.py",), (), "mine.py: there is no such file"),
        (("vwap_reclaim",), ("--from", "2024-06-29", "--to", "2024-06-30"), "in a session from 2024-06-29 to 2024-06-"),
        (("vwap_reclaim",), ("--from", "2024-07-05"), "--from, --to: 2024-07-03 is before 2024-07-05"),
        (("vwap_reclaim",), ("--symbols", ","), "--symbols: ',' names no symbol"),
        (("vwap_reclaim",), ("--memory", "1"), "1 symbol over "),
    ],
)
def test_what_all_three_refuse(
    typed: Type, command: tuple[str, ...], named: tuple[str, ...], changes: tuple[str, ...], said: str
) -> None:
    name, _, *rest = command
    own = () if name == "sensitivity" else (*GRID, *OUT)
    require_refused(typed, [name, *named, *rest, *own, *changes], said)


@pytest.mark.parametrize(
    ("command", "out", "said"),
    [
        (
            SWEEP,
            "taken/table.csv",
            "taken/table.csv: it cannot be written: Not a directory. Make room, or name another",
        ),
        (SWEEP, "folder", "folder: it cannot be written: Is a directory"),
        (WALK, "taken/out", "taken/out: the folder cannot be made: Not a directory. Name another with --out."),
        (WALK, "taken", "taken: the folder cannot be made: File exists"),
        (WALK, "x" * 300, "the folder cannot be made: File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_a_bar_is_read(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], out: str, said: str
) -> None:
    write(tmp_path / "taken", "a file")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(ProvidedBars, "blocks", lambda _: pytest.fail("bars were read"))
    require_refused(typed, [*command, *GRID, "--out", out], said)


@pytest.mark.skipif(UNCOMPILED, reason="uncompiled code refuses an index past the end")
def test_a_strategy_that_looks_ahead_is_found_by_every_command_and_trades_in_none(typed: Type, tmp_path: Path) -> None:
    write(tmp_path / "mine.py", source(HIDDEN, top=BEYOND))
    write(tmp_path / "calm.py", source(HIDDEN, top=BEYOND).replace("parameter(1,", "parameter(0,"))
    grid = ("--grid", "exit_plan.attempts=1,2")
    sees = "strategy mine: it looks "
    for words in (
        ("sweep", "mine.py", *BARS, *grid, *OUT),
        ("walk-forward", "mine.py", *BARS, *PARTS, *grid, *OUT),
        ("sensitivity", "mine.py", *BARS),
        ("backtest", "mine.py", *BARS),
        # As it is configured it sees nothing that it should not; with one of the values it does.
        ("sweep", "calm.py", *BARS, "--grid", "minute=0,1", *OUT),
        ("walk-forward", "calm.py", *BARS, *PARTS, "--grid", "minute=0,1", *OUT),
    ):
        require_refused(typed, words, sees, "Let the step use its five records alone")
    assert typed("sweep", "mine.py", "--set", "minute=0", *BARS, *grid).code == 0
    checked = typed("strategies", "check", "mine.py")
    assert (checked.code, checked.err) == (2, "")
    assert checked.out.startswith(f"mine.py:\n  {sees}")
    assert re.search(r"first in SIM[ABC] on 2024-07-0[235], minute \d+\n", checked.out)


def test_the_check_names_the_line_of_an_index_past_the_end(typed: Type, tmp_path: Path) -> None:
    text = source(PAST_THE_END)
    write(tmp_path / "mine.py", text)
    checked = typed("strategies", "check", "mine.py")
    assert checked.code == 2
    where = f"{tmp_path / 'mine.py'}, line {line_of(text, 'volume_share')}"
    assert f"  {where}: the step raises IndexError: index 390 is out of bounds" in checked.out
    assert "Traceback" not in checked.out + checked.err


# ---- what is shown, what is printed as JSON and what is written ---------------------------------------------------------

TRADING: Final = (
    "vwap_reclaim", "--profile", "quiet", "--data", "simulated", "--symbols", "SIMA,SIMB,SIMC",
    "--from", "2024-06-24", "--to", "2024-07-03",
)  # fmt: skip
MONEY: Final = {"profit": "profit", "fees": "fees"}
SHARES: Final = {"return": "total_return", "deepest fall": "max_drawdown"}
RATIOS: Final = {"Sharpe": "sharpe", "profit factor": "profit_factor"}


def table_in(said: str, first: str) -> list[dict[str, str]]:
    """The rows of the table whose header begins with that name."""
    lines = said.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(f"{first}  ")]
    cells = [re.split(r" {2,}", line.strip()) for line in lines[start:]]
    names = cells[0]
    rows = [row for row in cells[1:] if len(row) == len(names)]
    return [dict(zip(names, row, strict=True)) for row in rows]


def as_shown(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """A row of the JSON as the table has it; `names` are columns of the table that hold a value as it is."""
    return {
        **{column: f"{row[name]}" for column, name in names.items()},
        **{column: f"{row[name]:,.2f}" for column, name in MONEY.items()},
        **{column: f"{row[name]:.2%}" for column, name in SHARES.items()},
        **{column: "-" if row[name] is None else f"{row[name]:,.2f}" for column, name in RATIOS.items()},
        "trades": f"{row['trades']:,}",
        "won": "-" if row["hit_rate"] is None else f"{row['hit_rate']:.1%}",
    }


def test_a_sweep_shows_prints_and_writes_the_same(typed: Type, tmp_path: Path) -> None:
    grid = ("--grid", "closes_below=2,15", "--grid", "stop_percent=0.5:1.5:0.5")
    answer = typed("sweep", *TRADING, *grid, "--top", "4", "--json", "--out", "made/table.csv")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    profits = [row["profit"] for row in rows]
    assert profits == sorted(profits, reverse=True)
    assert len(set(profits)) >= 3
    assert {(row["closes_below"], row["stop_percent"]) for row in rows} == {
        (closes, stop) for closes in (2, 15) for stop in (0.5, 1.0, 1.5)
    }
    names = {name: name for name in ("closes_below", "stop_percent")}
    assert table_in(answer.err, "closes_below") == [as_shown(row, names) for row in rows[:4]]
    assert "2 more are not shown." in answer.err
    with (tmp_path / "made" / "table.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert written == [{name: "" if value is None else f"{value}" for name, value in row.items()} for row in rows]


def test_sensitivity_shows_and_prints_the_same(typed: Type) -> None:
    answer = typed("sensitivity", *TRADING, "--slippage", "0,20", "--delay", "0,1", "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert [(row["delay"], row["slippage"]) for row in rows] == [(0, 0), (0, 20), (1, 0), (1, 20)]
    assert rows[0]["profit"] > rows[1]["profit"]
    names = {"bars late": "delay", "slippage": "slippage"}
    assert table_in(answer.err, "bars late") == [as_shown(row, names) for row in rows]


def test_a_walk_forward_shows_prints_and_writes_the_same(typed: Type, tmp_path: Path) -> None:
    words = ("walk-forward", *TRADING, "--grid", "closes_below=2,15", "--train", "4", "--test", "2", "--by", "profit")
    answer = typed(*words, "--json", "--out", "made/walked")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    steps = found["steps"]
    assert len(steps) == 2
    shown = [{name: f"{value}" for name, value in step.items()} for step in steps]
    assert table_in(answer.err, "trained from") == shown
    out = tmp_path / "made" / "walked"
    assert {path.name for path in out.iterdir()} == {"summary.json", "steps.csv", "tearsheet.html", "equity.png"}
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == found
    with (out / "steps.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == shown
    brought = sum(step["tested profit"] for step in steps)
    assert brought != 0
    by_minute = found["statistics"]["intraday_drawdown"]
    at_closes = found["statistics"]["returns"]["max_drawdown"]
    assert (
        f"All tests: equity 100,000.00 to {100_000 + brought:,.2f}, {brought:,.2f}; "
        f"deepest fall {by_minute:.2%} by minute, {at_closes:.2%} at closes\n"
    ) in answer.err
    assert sum(step["trades"] for step in steps) == found["statistics"]["trades"]["trades"] > 0
    # Without --json the same is said where a person reads it.
    plain = typed(*words)
    assert (plain.code, plain.out) == (0, answer.err.partition("The report is in")[0])
