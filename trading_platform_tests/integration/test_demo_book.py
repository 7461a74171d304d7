"""Which book a demo trades: the table of decisions, on state files as they lie in the data folder."""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trading_platform.bootstrap import open_ledger, paper_book, session_configuration
from trading_platform.config.load import load
from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.ledger.ledger import Ledger
from trading_platform.terminal import demo
from trading_platform.terminal.demo_book import (
    DemoState,
    choose,
    demo_folder,
    left_without_its_broker,
    read_state,
    recorded_books,
    write_state,
)

DAY = date(2024, 7, 3)
OTHER_DAY = date(2024, 7, 5)


def configured(folder: Path, **changes: Any) -> Settings:
    return load({}, {"data_folder": folder, **changes})


def no_books(_: Settings) -> Collection[str]:
    return ()


def chosen(
    settings: Settings,
    session: date = DAY,
    *,
    reset: bool = False,
    books: Callable[[Settings], Collection[str]] = no_books,
) -> DemoState:
    return choose(settings, session_configuration(settings), session, reset=reset, books=books)


def begun(settings: Settings, session: date = DAY, *, finished: bool = False) -> DemoState:
    """A demo that was begun, and perhaps finished, with these settings."""
    state = replace(chosen(settings, session), finished=finished)
    write_state(settings.data_folder, state)
    return state


def test_the_first_demo_has_the_first_book(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    first = chosen(configured(tmp_path))
    assert (first.book, first.session, first.finished) == ("demo-1", "2024-07-03", False)


def test_an_unfinished_demo_goes_on_in_its_book(tmp_path: Path) -> None:
    state = begun(configured(tmp_path))
    assert chosen(configured(tmp_path)) == state == read_state(tmp_path)


def test_a_finished_demo_is_followed_by_a_fresh_book_whatever_is_configured(tmp_path: Path) -> None:
    begun(configured(tmp_path), finished=True)
    assert chosen(configured(tmp_path)).book == "demo-2"
    assert chosen(configured(tmp_path, account={"size": 50_000}), OTHER_DAY).book == "demo-2"


@pytest.mark.parametrize(
    ("changes", "session", "named"),
    [
        ({"active_strategies": [{"name": "vwap_reclaim", "profile": "quiet"}]}, DAY, "differs in active_strategies."),
        ({"account": {"size": 50_000}, "limits": {"max_positions": 2}}, DAY, "differs in account, limits."),
        ({"market_data": {"symbols": ("SIMA",)}}, OTHER_DAY, "differs in session, market_data."),
        ({}, OTHER_DAY, "differs in session."),
    ],
)
def test_an_unfinished_demo_is_not_mixed_with_another(
    tmp_path: Path, changes: dict[str, Any], session: date, named: str
) -> None:
    state = begun(configured(tmp_path))
    settings = configured(tmp_path, **changes)
    with pytest.raises(InvalidInput) as refused:
        chosen(settings, session)
    assert named in str(refused.value)
    assert "the demo of 2024-07-03 is not finished" in str(refused.value)
    assert "--reset (make demo RESET=1)" in str(refused.value)
    assert str(demo_folder(tmp_path)) in str(refused.value)
    assert read_state(tmp_path) == state
    # With reset it is left behind.
    assert chosen(settings, session, reset=True).book == "demo-2"


def test_what_no_decision_depends_on_may_change(tmp_path: Path) -> None:
    state = begun(configured(tmp_path))
    assert chosen(configured(tmp_path, instance="other", ownership={"lease": 20})) == state


def test_one_whose_broker_is_gone_is_followed_by_a_fresh_book_whatever_is_configured(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    state = begun(settings)
    # The control: on the paper exchange it is to be finished, and nothing is said.
    assert (chosen(settings), left_without_its_broker(tmp_path)) == (state, None)
    gone = replace(state, configuration={**state.configuration, "broker": "alpaca-local"})
    write_state(tmp_path, gone)
    assert left_without_its_broker(tmp_path) == gone
    assert [chosen(settings, day).number for day in (DAY, OTHER_DAY)] == [2, 2]
    write_state(tmp_path, replace(gone, finished=True))
    assert left_without_its_broker(tmp_path) is None


def test_a_reset_takes_a_fresh_book_even_with_the_same_configuration(tmp_path: Path) -> None:
    begun(configured(tmp_path))
    assert chosen(configured(tmp_path), reset=True).book == "demo-2"


def test_a_book_that_the_exchange_knows_is_never_taken_again(tmp_path: Path) -> None:
    # The state is lost, the exchange's books are not.
    for number in (1, 7):
        path = paper_book(configured(tmp_path, account={"book": f"demo-{number}"}))
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert chosen(configured(tmp_path)).book == "demo-8"


def test_a_book_that_the_ledger_knows_is_never_taken_again(tmp_path: Path) -> None:
    def books(_: Settings) -> Collection[str]:
        return "paper", "demo-3", "demo-12", "demo-x", "my-demo-40", "demo-40-mine"

    assert chosen(configured(tmp_path), books=books).book == "demo-13"
    begun(configured(tmp_path), finished=True)
    assert chosen(configured(tmp_path), books=books).book == "demo-13"


def test_an_unfinished_demo_goes_on_without_a_question_to_the_ledger(tmp_path: Path) -> None:
    state = begun(configured(tmp_path))

    def books(_: Settings) -> Collection[str]:
        raise AssertionError

    assert chosen(configured(tmp_path), books=books) == state
    with pytest.raises(AssertionError):
        chosen(configured(tmp_path), books=books, reset=True)


def test_the_ledger_is_asked_which_books_there_are(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    settings = configured(tmp_path, database_url=fresh_database())
    configuration = session_configuration(settings)
    assert choose(settings, configuration, DAY, reset=False).book == "demo-1"
    ledger = open_ledger(settings)
    for name in ("demo-2", "demo-11", "paper"):
        Ledger(ledger.engine, book=name).open_book(Decimal(100_000), datetime(2024, 7, 3, tzinfo=UTC))
    ledger.engine.dispose()
    assert recorded_books(settings) == ("demo-11", "demo-2", "paper")
    assert choose(settings, configuration, DAY, reset=False).book == "demo-12"


def test_a_database_that_was_never_made_is_not_made_for_the_question(tmp_path: Path) -> None:
    assert recorded_books(configured(tmp_path)) == ()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": 1}', '{"number": 1, "colour": "blue"}'])
def test_a_state_that_cannot_be_read_is_refused_until_it_is_reset(tmp_path: Path, text: str) -> None:
    path = demo_folder(tmp_path) / "state.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidInput, match="RESET=1") as refused:
        chosen(configured(tmp_path))
    assert str(path) in str(refused.value)
    assert chosen(configured(tmp_path), reset=True).book == "demo-1"


def test_a_kill_while_it_is_written_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = begun(configured(tmp_path))

    def killed(_: Path, __: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_state(tmp_path, replace(state, finished=True))
    monkeypatch.undo()
    assert read_state(tmp_path) == state
    # The control: the new text did lie beside it.
    assert json.loads((demo_folder(tmp_path) / "state.json.new").read_text())["finished"] is True
    write_state(tmp_path, replace(state, finished=True))
    assert [path.name for path in demo_folder(tmp_path).iterdir()] == ["state.json"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(InvalidInput, match="TRADING_PLATFORM_DATA"):
        write_state(tmp_path, chosen(configured(tmp_path / "elsewhere")))


def test_a_ui_that_ends_by_itself_is_not_passed_over(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = configured(tmp_path / "data")
    begun(settings)
    # There is no workspace.yaml here, so Dagster has nothing to serve.
    with pytest.raises(PermanentError, match="ended by itself with code") as ended:
        demo._serve(settings, tmp_path, 3999, Console(quiet=True))
    assert "The session is done." in str(ended.value)
    assert "workspace.yaml" in capfd.readouterr().err


def test_the_uis_processes_are_told_everything_but_the_databases_password(tmp_path: Path) -> None:
    settings = configured(tmp_path, database_url="postgresql://me:hunter2@nowhere/ledger", account={"book": "demo-4"})
    path = tmp_path / "settings.json"
    demo._write_settings(path, settings)
    assert "hunter2" not in path.read_text()
    told = load({"TRADING_PLATFORM_CONFIG": str(path)})
    assert told == settings.model_copy(update={"database_url": None, "data_folder": tmp_path.resolve()})
