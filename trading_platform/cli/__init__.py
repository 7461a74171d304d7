"""The commands. Each is a few lines that read options and call the rooms below.

Exit codes: 0 done; 1 a fault that trying again or another part may mend; 2 something that was given cannot be used.
Rooms are imported by the command that needs them, so that `--help` is quick.
"""

import os
import sys
from typing import Final

import click

from trading_platform.cli.backtest import backtest
from trading_platform.cli.books import fills, orders, pnl, positions
from trading_platform.cli.commands import enable
from trading_platform.cli.config import config
from trading_platform.cli.data import data
from trading_platform.cli.database import db
from trading_platform.cli.emergencies import halt, reconcile, reconnect, resume
from trading_platform.cli.research import sensitivity, sweep, walk_forward
from trading_platform.cli.status import status
from trading_platform.cli.strategies import strategies
from trading_platform.cli.trading import demo, session
from trading_platform.domain.errors import InvalidInput, TradingPlatformError

FAULT: Final = 1
UNUSABLE: Final = 2
INTERRUPTED: Final = 130


def main() -> None:
    """The entry point `trading-platform`: a person's mistake gets a sentence, never a traceback."""
    try:
        sys.exit(commands(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(UNUSABLE)
    except InvalidInput as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(UNUSABLE)
    except TradingPlatformError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(FAULT)
    except (click.Abort, KeyboardInterrupt) as stopped:
        click.echo(str(stopped) or "Stopped. Run it again to go on.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has read enough. What is left must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAULT)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trading-platform", prog_name="trading-platform")
def commands() -> None:
    """Takes a trading strategy from backtest to production."""


for _command in (
    demo,
    session,
    backtest,
    sweep,
    walk_forward,
    sensitivity,
    status,
    halt,
    resume,
    reconcile,
    reconnect,
    enable,
    positions,
    orders,
    fills,
    pnl,
    db,
    config,
    strategies,
    data,
):
    commands.add_command(_command)
