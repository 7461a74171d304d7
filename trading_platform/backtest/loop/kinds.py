"""The kinds of orders and changes as numbers, for compiled code, and back.

Here belong the numbers alone. What the kinds mean is `domain.orders`.
"""

from typing import Final

from trading_platform.domain.orders import IntentKind

ENTRY: Final = 1
EXIT: Final = 2
STOP: Final = 3
TARGET: Final = 4
CANCEL: Final = 5
REDUCE: Final = 6

KINDS: Final = {
    ENTRY: IntentKind.ENTRY,
    EXIT: IntentKind.EXIT,
    STOP: IntentKind.STOP,
    TARGET: IntentKind.TARGET,
    CANCEL: IntentKind.CANCEL,
    REDUCE: IntentKind.REDUCE,
}
"""By the number of `sent_t` and `execution_t`."""
