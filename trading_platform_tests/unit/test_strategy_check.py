"""Trying a strategy out: what is wrong with it is said with file, line and cause, before it costs money.

Each mistake is a user's file; the file without the mistake is the control: it passes.
"""

from pathlib import Path

import pytest

from trading_platform.domain.compiled import UNCOMPILED
from trading_platform.strategies.check import check_strategy
from trading_platform.strategies.registry import load
from trading_platform_tests.factories.strategy_files import ENTER, line_of, source, write

compiling = pytest.mark.skipif(UNCOMPILED, reason="the compiler is off")


def findings(path: Path, text: str) -> list[str]:
    return [str(finding) for finding in check_strategy(load("mine", file=write(path, text)))]


@pytest.mark.parametrize("name", ["gap_and_go", "vwap_reclaim"])
def test_the_strategies_of_the_platform_pass(name: str) -> None:
    assert check_strategy(load(name)) == ()


def test_a_sound_strategy_passes(tmp_path: Path) -> None:
    assert findings(tmp_path / "mine.py", source()) == []


UNCOMPILABLE = {
    "out.level1 = bar.closing": "asked for 'closing', a field that it has not. Did you mean 'close'? It is a field of bar",
    "out.level1 = state.close": "asked for 'close', a field that it has not. It is a field of bar",
    "out.level1 = closing_price": "there is no name 'closing_price'",
    "out.level1 = plain(bar.close)": "it calls plain, which is not compiled. Put @compiled above plain",
    "out.level1 = TABLE['a']": "it uses TABLE, a dict, which compiled code does not read",
    "out.level1 = LISTED[0]": "it uses LISTED, a list, which compiled code does not read",
    "HISTORY.append(bar.close)": "it uses HISTORY, a list, which compiled code does not read",
    "out.level1 = bar[1].close": "asked for 'close', as if it were a record",
    "out.level1 = params.minute.close": "a number is asked for 'close', as if it were a record. A step sees one bar",
    "import socket": "it imports something within the step. Import it at the top of the file",
    "SEEN[0] += 1.0": "writes to an array outside its records, which compiled code holds constant. Keep what changes",
    "global COUNT; COUNT += 1": "it changes a global name. Keep what changes in the state record",
    "out.level1 = 'a' + bar.close": "compiled code does not do add('a', float64)",
    "out.level1 = math.foo(bar.close)": "module 'math' has no attribute 'foo'",
    "out.level1 = helped(bar.close, 2)": "a function that takes (x) is called with too many positional arguments",
    "out.level1 = bar": "a record is put where float64 belongs",
}
TOP = """
TABLE, LISTED, HISTORY, SEEN, COUNT = {"a": 1}, [1.0], [], np.zeros(3), 0

def plain(x):
    return x

@compiled
def helped(x):
    return x
"""


@compiling
@pytest.mark.parametrize("line", UNCOMPILABLE)
def test_a_step_that_does_not_compile_is_told_with_its_line_and_cause(tmp_path: Path, line: str) -> None:
    text = source(f"{ENTER.strip(chr(10))}\n    {line}", top=TOP)
    path = tmp_path / "mine.py"
    (found,) = findings(path, text)
    assert found.startswith(f"{path}, line {line_of(text, line)}: the step does not compile: ")
    assert UNCOMPILABLE[line] in found
    assert "\n" not in found
    assert len(found) < 600


@compiling
def test_a_mistake_in_a_function_that_the_step_calls_is_told_with_its_own_line(tmp_path: Path) -> None:
    top = """
    @compiled
    def helped(bar):
        return bar.closing
    """
    text = source(f"{ENTER.strip(chr(10))}\n    out.level1 = helped(bar)", top=top)
    (found,) = findings(tmp_path / "mine.py", text)
    assert f"line {line_of(text, 'return bar.closing')}: the step does not compile" in found


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("out.level1 = math.inf", "a level is not a price; first on a gap up that runs on, minute 0"),
        ("out.entry = 1\nout.setup = 1\nout.stop = -1.0", "the stop is not a price"),
        ("out.limit = bar.close / (bar.volume - bar.volume)", "the limit is not a price"),
        ("if bar.minute > 8:\n    out.fault = 7", "the step gave up with number 7; first on"),
        ("out.entry = bar.minute % 2", "an entry has no stop below its price, and would be refused"),
        ("out.entry = bar.minute % 2\nout.stop = bar.close", "an entry has no stop below its price"),
        ("out.entry = 2 * (bar.minute % 2)\nout.setup = 1\nout.stop = bar.close / 2.0", "entry is neither 0 nor 1"),
        ("out.entry = bar.minute % 2\nout.stop = bar.close / 2.0", "an entry names no set-up"),
        ("out.entry = 1\nout.setup = 1\nout.stop = bar.close / 2.0", "an entry stands on ten bars in a row"),
        ("out.exit = 64", "an exit reason is none of ExitReason"),
        ("params.minute += 1", "the step writes to params, which is not its own"),
        ("day.gap = 0.0", "the step writes to day, which is not its own"),
        ("bar.close = 1.0", "the step writes to bar, which is not its own"),
    ],
)
def test_what_a_step_gives_or_does_wrong_is_told(tmp_path: Path, body: str, says: str) -> None:
    found = findings(tmp_path / "mine.py", source(body))
    assert any(says in one for one in found), found


def test_a_read_past_the_end_of_an_array_is_told_before_compiled_code_does_it(tmp_path: Path) -> None:
    text = source("out.level1 = day.volume_share[bar.minute + 1]")
    path = tmp_path / "mine.py"
    (found,) = findings(path, text)
    assert f"{path}, line {line_of(text, 'volume_share')}: the step raises IndexError" in found
    assert findings(path, source("out.level1 = day.volume_share[bar.minute]")) == []


def test_a_step_that_raises_is_told_with_its_line(tmp_path: Path) -> None:
    text = source("if bar.minute > 3:\n    raise ValueError('no')")
    (found,) = findings(tmp_path / "mine.py", text)
    assert f"line {line_of(text, 'raise ValueError')}: the step raises ValueError: no" in found


@compiling
def test_what_python_and_the_compiler_work_out_differently_is_told(tmp_path: Path) -> None:
    # A whole number that leaves 64 bits: Python's own goes on, the compiled one wraps.
    body = "n = 1\nfor k in range(70):\n    n = n * 2\nout.level1 = float(n % 1000)"
    (found,) = findings(tmp_path / "mine.py", source(body))
    assert "the compiled step and the plain one differ" in found


def test_a_plan_that_takes_no_stop_from_the_step_needs_none(tmp_path: Path) -> None:
    body = "out.entry = bar.minute % 2\nout.setup = 1"
    by_close = "stop_on=TriggerOn.CLOSE, stop_percent=2.0"
    top = "from trading_platform.domain.signals import TriggerOn"
    assert findings(tmp_path / "mine.py", source(body, plan=by_close, top=top)) == []
