"""`trading-platform backtest` and `data import`, as a person types them: the files, their sums, and a paper session's cents."""

import csv
import json
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from trading_platform.cli import commands
from trading_platform.domain.compiled import UNCOMPILED
from trading_platform.domain.errors import InvalidInput
from trading_platform_tests.factories.strategy_files import BEYOND, ENTER, PAST_THE_END, PEEK, source, write
from trading_platform_tests.sessions.console import HALF_DAY, Checkout, new_checkout

WEEK: Final = ("--from", "2024-06-24", "--to", "2024-07-05")
"""Nine sessions of two months; that of July 3 closes at 13:00."""
FILES: Final = {
    "summary.json",
    "configuration.json",
    "trades.csv",
    "orders.csv",
    "decisions.csv",
    "fills.csv",
    "equity.csv",
    "tearsheet.html",
    "equity.png",
}
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types a command in this process, as the entry point does but for the message of an `InvalidInput`."""
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str, fails: bool = False) -> Result:
        result = CliRunner().invoke(commands, words, standalone_mode=False)
        if not fails:
            assert result.exception is None, result.exception
        return result

    return invoke


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def total(found: Sequence[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(one[column]) for one in found if one[column]), Decimal(0))


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text(encoding="utf-8")))


def require_sums(folder: Path) -> dict[str, Any]:
    """Fail unless every file of a report tells the same story; gives the summary."""
    told = summary(folder)
    trades, orders, decisions, fills, equity = (
        rows(folder / f"{name}.csv") for name in ("trades", "orders", "decisions", "fills", "equity")
    )
    finished = [one for one in trades if one["left"]]
    assert {one.name for one in folder.iterdir()} == FILES
    assert len(finished) == told["trades"] == told["statistics"]["trades"]["trades"]
    assert (len(decisions), len(fills)) == (told["decisions"], told["fills"])
    assert sum(one["kind"] not in {"cancel", "reduce"} for one in orders) == told["orders"]
    assert len(orders) == told["orders"] + told["order_changes"]
    assert [one["verdict"] for one in decisions].count("refused") == sum(told["refused"].values())
    assert total(trades, "fees") == total(fills, "fee") == Decimal(str(told["fees"]))
    net = total(finished, "proceeds") - total(finished, "cost") - total(finished, "fees")
    assert net == total(finished, "net")
    assert round(net, 2) == Decimal(str(told["realised"])) == Decimal(str(told["statistics"]["trades"]["net"]))
    moved = sum(
        (1 if one["side"] == "sell" else -1) * int(one["quantity"]) * Decimal(one["price"]) - Decimal(one["fee"])
        for one in fills
    )
    assert Decimal(equity[-1]["cash"]) == Decimal(str(told["opening"])) + moved
    assert round(Decimal(equity[-1]["equity"]), 2) == Decimal(str(told["closing"]))
    for one in equity:
        assert Decimal(one["equity"]) == Decimal(one["cash"]) + Decimal(one["holdings"])
    # An order names its decision, and a fill its order.
    for order in orders:
        assert decisions[int(order["decision"])]["symbol"] == order["symbol"]
    for fill in fills:
        assert orders[int(fill["order"])]["side"] == fill["side"]
        assert orders[int(fill["order"])]["time"] < fill["time"]
    return told


def test_the_files_of_a_backtest_agree_with_each_other_and_with_what_is_printed(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("backtest", "--data", "simulated", *WEEK, "--benchmark", "sima", "--out", str(out)).stdout
    told = require_sums(out)
    assert told["trades"] > 20
    assert (told["sessions"], told["first"], told["last"]) == (9, "2024-06-24", "2024-07-05")
    assert len(rows(out / "equity.csv")) == 8 * 390 + 210
    assert told["statistics"]["benchmark"]["symbol"] == "SIMA"
    assert f"equity 100,000.00 to {told['closing']:,.2f}" in said
    assert re.search(rf"^together +{told['trades']:,} ", said, flags=re.MULTILINE)
    assert "SIMA held: " in said
    assert told["order_changes"] > 0
    assert f", {told['orders']:,} orders, {told['order_changes']:,} changes of orders, {told['fills']:,} fills" in said
    by_minute, at_closes = told["statistics"]["intraday_drawdown"], told["statistics"]["returns"]["max_drawdown"]
    assert by_minute > at_closes > 0
    assert f"; deepest fall {by_minute:.2%} by minute, {at_closes:.2%} at closes\n" in said
    assert told["statistics"]["cautions"]
    for caution in told["statistics"]["cautions"]:
        assert f"Note: {caution}\n" in said
    assert str(out) in said
    page = (out / "tearsheet.html").read_text(encoding="utf-8")
    assert "gap_and_go, vwap_reclaim on 8 symbols, 2024-06-24 to 2024-07-05" in page
    assert f"{told['trades']:,}" in page
    assert struct.unpack(">8s", (out / "equity.png").read_bytes()[:8])[0].startswith(b"\x89PNG")


def test_the_same_run_writes_the_same_bytes_and_prints_what_it_writes(run: Run, tmp_path: Path) -> None:
    words = ("backtest", "vwap_reclaim", "--data", "simulated:11", *WEEK, "--cash", "50000", "--threads", "1", "--json")
    printed = [run(*words, "--out", str(tmp_path / name)).stdout for name in ("one", "two")]
    assert printed[0] == printed[1]
    assert json.loads(printed[0]) == summary(tmp_path / "one")
    assert summary(tmp_path / "one")["opening"] == 50_000
    for name in sorted(FILES):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert json.loads(run(*words).stdout) == summary(tmp_path / "one")


def test_its_own_configuration_runs_it_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PLATFORM__LIMITS__MAX_POSITIONS", "2")
    mine = write(tmp_path / "mine.py", source(ENTER.replace("60.0", "1.0")))
    chosen = ("--set", "mine.minute=40", "--set", "vwap_reclaim.relative_volume=0.8", "--cash", "20000")
    run(
        "backtest", str(mine), "vwap_reclaim", *chosen, "--data", "simulated:3", "--symbols", "SIMA,SIMC", *WEEK,
        "--out", "one",
    )  # fmt: skip
    first = summary(tmp_path / "one")
    assert first["fills"] > 4
    assert first["strategies"]["mine"] == {"minute": 40}
    monkeypatch.delenv("TRADING_PLATFORM__LIMITS__MAX_POSITIONS")
    monkeypatch.setenv("TRADING_PLATFORM_CONFIG", str(tmp_path / "one" / "configuration.json"))
    run("backtest", *WEEK, "--out", "two")
    again = summary(tmp_path / "two")
    assert {**again, "command": []} == {**first, "command": []}
    for name in ("trades.csv", "decisions.csv", "equity.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    # And so do the words that it tells.
    monkeypatch.delenv("TRADING_PLATFORM_CONFIG")
    monkeypatch.setenv("TRADING_PLATFORM__LIMITS__MAX_POSITIONS", "2")
    program, *words = first["command"]
    assert program == "trading-platform"
    assert json.loads(run(*words, "--json").stdout) == first


def test_an_imported_folder_gives_what_its_source_gives(run: Run, tmp_path: Path) -> None:
    run("data", "import", "simulated", "columns", "--symbols", "all", *WEEK)
    assert "0 sessions of 8 symbols written to columns, 9 there already" in run(
        "data", "import", "simulated", "columns", "--symbols", "all", *WEEK
    ).stdout.replace("session of", "sessions of")
    run("backtest", "--data", "simulated", *WEEK, "--out", "one")
    run("backtest", "--data", "columns:columns", "--out", "two")
    for name in ("trades.csv", "orders.csv", "decisions.csv", "fills.csv", "equity.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    # Some of its symbols over some of its days.
    within = ("--from", "2024-06-27", "--to", "2024-07-02")
    (tmp_path / "list.txt").write_text("SIMB\nSIMD, SIMB\n", encoding="utf-8")
    some = [
        json.loads(run("backtest", "--data", data, "--symbols", "@list.txt", *within, "--json").stdout)
        for data in ("simulated", "columns:columns")
    ]
    assert [one["symbols"] for one in some] == [2, 2]
    assert some[0]["statistics"] == some[1]["statistics"]
    assert some[0]["trades"] > 0


def test_a_folder_of_columns_is_listed_and_checked(run: Run, tmp_path: Path) -> None:
    run("data", "import", "simulated", "columns", "--symbols", "SIMA,SIMB", *WEEK)
    listed = json.loads(run("data", "list", "--data", "columns:columns", "--json").stdout)
    assert (listed["sessions"], listed["half_days"]) == (9, ["2024-07-03"])
    assert [(one["symbol"], one["sessions"]) for one in listed["symbols"]] == [("SIMA", 9), ("SIMB", 9)]
    table = run("data", "list", "--data", "columns:columns").stdout
    assert "9 sessions from 2024-06-24 to 2024-07-05, 1 half day" in table
    whole = run("data", "check", "--data", "columns:columns")
    assert whole.return_value == 0
    assert "9 sessions: 0 damaged, 0 sessions missing" in whole.stdout
    (closes, *_) = sorted((tmp_path / "columns").rglob("close.npy"))
    spoilt = bytearray(closes.read_bytes())
    spoilt[-100] ^= 1
    closes.chmod(0o644)
    closes.write_bytes(spoilt)
    damaged = run("data", "check", "--data", "columns:columns")
    assert damaged.return_value == 2
    assert "SIMB on 2024-06-28 is not as it was written." in damaged.stdout
    found = json.loads(run("data", "check", "--data", "columns:columns", "--json").stdout)
    assert (len(found["damaged"]), found["missing"]) == (1, [])


def test_what_is_lacking_is_told_and_nothing_is_entered_there(run: Run, tmp_path: Path) -> None:
    """One symbol starts within the range, one ends in it, one has holes, one has nothing."""
    from trading_platform_tests.acceptance.test_data_commands import DAY, DAYS, csv_folder, minutes

    days = DAYS[-4:]
    csv_folder(tmp_path / "bars", "LATE", {day: minutes() for day in days[2:]})
    csv_folder(tmp_path / "bars", "OVER", {day: minutes() for day in days[:2]})
    csv_folder(tmp_path / "bars", "HOLES", {day: minutes(skip=60 * (day == DAY)) for day in days})
    csv_folder(tmp_path / "bars", "BAD", {DAY: ["09:30,1,1,x,1,1"]})
    mine = write(tmp_path / "mine.py", source(ENTER.replace("60.0", "1.0")))
    said = run("backtest", str(mine), "--data", "csv:bars", "--symbols", "LATE,OVER,HOLES,BAD,NONE", "--out", "out")
    for sentence in (
        "mine on HOLES, LATE, OVER; left out: BAD, NONE; 2024-06-07 to 2024-06-12\n",
        "NONE is left out: no minute bars in the range.",
        "BAD is left out: data that cannot be used: bars/minute/BAD.csv, row 2, column low: 'x' is not a price",
        f"LATE ({days[2]}) begins within the range.",
        f"OVER ({days[1]}) ends within the range.",
        "HOLES (1 session) has minutes without a bar, more than 10 % of a session.",
    ):
        assert sentence in said.stdout, sentence
    told = require_sums(tmp_path / "out")
    assert len(told["warnings"]) >= 5
    assert (told["symbols"], told["left_out"]) == (3, ["BAD", "NONE"])
    assert not [one for one in told["warnings"] if "no bar in the range" in one]
    entered = {(one["symbol"], one["time"][:10]) for one in rows(tmp_path / "out" / "fills.csv")}
    assert entered == {
        *(("LATE", str(day)) for day in days[2:]),
        *(("OVER", str(day)) for day in days[:2]),
        # Its entry is of minute 1, which the last of its sessions does not have.
        *(("HOLES", str(day)) for day in days[:3]),
    }


def test_a_bad_row_leaves_its_symbol_out_and_one_sentence_says_so(run: Run, tmp_path: Path) -> None:
    from trading_platform_tests.acceptance.test_data_commands import DAYS, csv_folder, minutes

    for symbol in ("AAA", "BBB", "CCC"):
        csv_folder(tmp_path / "bars", symbol, {day: minutes() for day in DAYS[-4:]})
    file = tmp_path / "bars" / "minute" / "AAA.csv"
    lines = file.read_text().splitlines()
    lines[500] = lines[500].replace(",10,", ",1x,", 1)
    file.write_text("\n".join(lines))
    said = run("backtest", "vwap_reclaim", "--data", "csv:bars", "--symbols", "AAA,BBB,CCC", "--out", "out").stdout
    title = "vwap_reclaim on BBB, CCC; left out: AAA; 2024-06-07 to 2024-06-12"
    assert said.startswith(f"{title}\n")
    assert [line for line in said.splitlines() if line.startswith("Note: ") and "AAA" in line] == [
        (
            "Note: AAA is left out: data that cannot be used: bars/minute/AAA.csv, row 501, column open: '1x' is not a "
            "price. Mend the row, or fetch the file again from where it came. Its data cannot be used on 3 more sessions."
        )
    ]
    told = summary(tmp_path / "out")
    assert (told["title"], told["symbols"], told["left_out"]) == (title, 2, ["AAA"])


@pytest.mark.parametrize(
    "words",
    [
        ("backtest", "vwap_reclaim"),
        ("sweep", "vwap_reclaim", "--grid", "closes_below=3,5"),
        ("walk-forward", "vwap_reclaim", "--grid", "closes_below=3,5", "--train", "2", "--test", "1"),
        ("sensitivity", "vwap_reclaim"),
    ],
    ids=lambda words: words[0],
)
def test_a_run_of_which_every_symbol_is_left_out_is_refused(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    from trading_platform_tests.acceptance.test_data_commands import DAYS, HEADER, csv_folder

    csv_folder(tmp_path / "bars", "AAA", {})
    (tmp_path / "bars" / "minute" / "AAA.csv").unlink()
    # A file of each day: that there are such days is known before what is in them is.
    folder = tmp_path / "bars" / "minute" / "AAA"
    folder.mkdir()
    for day in DAYS[-4:]:
        (folder / f"{day}.csv").write_text(f"time,{HEADER}\n{day} 09:30,1x,1,1,1,1\n")
    result = run(*words, "--data", "csv:bars", "--symbols", "AAA", fails=True)
    assert isinstance(result.exception, InvalidInput)
    assert "there is no bar of AAA in a session from 2024-06-" in str(result.exception)
    assert "column open: '1x' is not a price" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "closes_below=5", "--set", "closes_below=10"), "--set: closes_below is given twice. Give it once."),
        (
            ("--set", "stop_bars=5", "--set", "vwap_reclaim.stop_bars=5"),
            "--set: stop_bars is given twice. Give it once.",
        ),
        (("--set", "bogus=1"), "volume_multiple; and exit_plan.NAME, sizing.NAME."),
        (
            ("--data", "bars"),
            (
                "--data: 'bars' names no source of bars. Give simulated, or lean:FOLDER, csv:FOLDER, parquet:FOLDER, "
                "columns:FOLDER."
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_given_wrongly_is_refused(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run("backtest", "vwap_reclaim", *words, fails=True)
    assert isinstance(result.exception, InvalidInput)
    assert str(result.exception).endswith(said)


def test_other_commands_that_take_columns_say_so_and_sessions_do_not(run: Run) -> None:
    for words in (("data", "list"), ("data", "check"), ("sensitivity", "vwap_reclaim")):
        assert "parquet:FOLDER, columns:FOLDER." in str(run(*words, "--data", "bars", fails=True).exception)
    said = str(run("session", "run", "--data", "bars", "--session", "2024-07-03", fails=True).exception)
    assert said.endswith("Give simulated, or lean:FOLDER, csv:FOLDER, parquet:FOLDER.")


def test_the_help_says_what_its_configuration_is_good_for(run: Run) -> None:
    said = " ".join(run("backtest", "--help").stdout.split())
    assert "summary.json with the figures and the command" in said
    assert "configuration.json with the settings that it ran under, for TRADING_PLATFORM_CONFIG." in said


def test_how_often_a_strategy_was_set_aside_is_counted_alike_everywhere(run: Run, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.py", source("out.stop = bar.close / 0.0"))
    result = run("backtest", str(mine), "--data", "simulated", "--symbols", "SIMA,SIMB", *WEEK)
    assert "Note: A strategy was set aside 18 times in all; the first 10 are told here.\n" in result.stdout
    assert "first in SIMA on 2024-06-24, minute 0; 18 such mistakes in all. From there" in result.stderr


def test_a_step_that_gives_no_price_ends_with_a_mistake_and_shows_the_rest(run: Run, tmp_path: Path) -> None:
    body = f"{ENTER.replace('60.0', '1.0')}    if bar.minute == 30:\n        out.stop = bar.close / 0.0\n"
    mine = write(tmp_path / "mine.py", source(body))
    result = run("backtest", str(mine), "--data", "simulated", "--symbols", "SIMA", *WEEK, "--out", "out")
    assert result.return_value == 2
    assert (
        "strategy mine: the stop is not a price; first in SIMA on 2024-06-24, minute 30; 9 such mistakes in all. "
    ) in result.stderr
    assert require_sums(tmp_path / "out")["trades"] > 0
    # What a step gives up by itself is its own affair.
    write(mine, source(body.replace("out.stop = bar.close / 0.0", "out.fault = 7")))
    result = run("backtest", str(mine), "--data", "simulated", "--symbols", "SIMA", *WEEK)
    assert result.return_value == 0
    assert "the step gave up with number 7" in result.stdout


def test_a_step_that_does_not_compile_is_told_before_a_bar_is_read(run: Run, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.py", source("out.level1 = bar.closing"))
    years = ("--data", "simulated", "--from", "1995-01-02", "--to", "2020-12-31")
    result = run("backtest", str(mine), *years, fails=True)
    assert isinstance(result.exception, InvalidInput)
    assert "mine.py, line 19: the step does not compile" in str(result.exception)


@pytest.mark.skipif(UNCOMPILED, reason="uncompiled code refuses an index past the end")
@pytest.mark.parametrize("looks", [True, False], ids=["as it is", "control: not looked for"])
def test_a_strategy_that_looks_ahead_is_refused_before_it_trades(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, looks: bool
) -> None:
    mine = write(tmp_path / "mine.py", source(PEEK, top=BEYOND))
    words = ("backtest", str(mine), "--data", "simulated", "--symbols", "SIMA,SIMB", *WEEK, "--out", "out")
    if not looks:
        monkeypatch.setattr("trading_platform.terminal.backtest.ExaminedBars", lambda bars, _: bars)
        run(*words)
        assert summary(tmp_path / "out")["trades"] > 0
        return
    result = run(*words, fails=True)
    assert isinstance(result.exception, InvalidInput)
    assert "strategy mine: it looks beyond its session: it says entry 1" in str(result.exception)
    assert "no index past the end" in str(result.exception)
    assert result.stdout == ""
    assert not list((tmp_path / "out").iterdir())
    # The same file is looked at and trades where its parameter keeps to the profile.
    run(*words, "--set", "minute=0")
    assert summary(tmp_path / "out")["sessions"] == 9


@pytest.mark.parametrize("command", ["backtest", "sweep"])
def test_an_index_past_the_end_is_refused_and_reads_nothing(run: Run, tmp_path: Path, command: str) -> None:
    mine = write(tmp_path / "mine.py", source(PAST_THE_END))
    words = (command, str(mine), "--data", "simulated", "--symbols", "SIMA,SIMB", *WEEK)
    grid = ("--grid", "minute=1,2") if command == "sweep" else ()
    result = run(*words, *grid, fails=True)
    assert isinstance(result.exception, InvalidInput)
    assert "mine.py: the step uses an index that lies outside of its array" in str(result.exception)
    # The control: the last place of the profile is within it.
    run(*words, *(("--grid", "exit_plan.attempts=1,2") if command == "sweep" else ()), "--set", "minute=0")


def test_too_little_memory_is_refused_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    result = run("backtest", "--data", "simulated", *WEEK, "--memory", "30", "--out", "out", fails=True)
    assert isinstance(result.exception, InvalidInput)
    assert "8 symbols over 9 sessions take about " in str(result.exception)
    assert "30.0 MB may be taken" in str(result.exception)
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = new_checkout(tmp_path_factory.mktemp("checkout"))
    yield made
    made.server.stop()


def require_the_same_session(checkout: Checkout, data: tuple[str, ...], day: str) -> int:
    """Fail unless a backtest of one session and a paper session agree in every fill and cent; gives the fills."""
    session = checkout.run("session", "run", *data, "--session", day, "--book", f"b{day}", "--json")
    assert session.returncode == 0, session.stderr
    paper = json.loads(session.stdout)
    out = checkout.folder / f"out-{day}"
    done = checkout.run("backtest", *data, "--from", day, "--to", day, "--out", str(out))
    assert done.returncode == 0, done.stderr
    told = require_sums(out)
    fills = json.loads(checkout.run("fills", "--book", f"b{day}", "--json").stdout)
    on_paper = sorted(
        (one["time"][:16], one["strategy"], one["symbol"], one["side"], one["quantity"], one["price"], one["fee"])
        for one in fills
    )
    found = sorted(
        (
            one["time"].replace(" ", "T")[:16],
            one["strategy"],
            one["symbol"],
            one["side"],
            int(one["quantity"]),
            f"{Decimal(one['price']):.4f}",
            f"{Decimal(one['fee']):.4f}",
        )
        for one in rows(out / "fills.csv")
    )
    assert found == on_paper
    assert (told["fills"], told["trades"]) == (paper["fills"], paper["round_trips"])
    assert (told["realised"], told["fees"], told["closing"]) == (paper["realised_pnl"], paper["fees"], paper["equity"])
    assert sum(told["refused"].values()) == paper["refused"]
    return len(found)


def test_a_backtest_of_one_session_is_the_paper_session_to_the_cent(checkout: Checkout) -> None:
    assert require_the_same_session(checkout, ("--data", "simulated"), str(HALF_DAY)) > 4


def test_a_real_session_is_backtested_as_it_is_traded_on_paper(checkout: Checkout, lean_data: Path) -> None:
    data = ("--data", f"lean:{lean_data}", "--symbols", "SPY,IBM,BAC,AIG", "--profile", "quiet")
    assert require_the_same_session(checkout, data, "2013-10-09") > 0


def test_a_week_of_real_bars_with_a_split(run: Run, tmp_path: Path, lean_data: Path) -> None:
    data = f"lean:{lean_data}"
    within = ("--symbols", "all", "--from", "2013-10-07", "--to", "2014-06-09")
    assert run("data", "import", data, "columns", *within).return_value == 1
    said = run(
        "backtest", "vwap_reclaim", "--data", "columns:columns", "--profile", "quiet", "--benchmark", "SPY",
        "--out", "out",
    ).stdout  # fmt: skip
    assert "AAPL (2014-06-05) begins within the range." in said
    told = require_sums(tmp_path / "out")
    assert told["data"]["splits and dividends"] > 0
    assert told["statistics"]["benchmark"]["returns"]["total_return"] is not None
