"""What stands between a trading process and its venue in the fault campaign: lines that lose things, and weak brokers.

Each is a broker around a real one, in the trading process. Which of them a life gets is `campaign_life`.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from trading_platform.brokers.broker import Broker
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import TemporaryError
from trading_platform.domain.orders import (
    Absent,
    Answer,
    BrokerOrder,
    Execution,
    Found,
    NotSent,
    Order,
    Rejected,
    Unknown,
)
from trading_platform_tests.faults.campaign_schedule import Schedule, calendar
from trading_platform_tests.sessions.tape import DAY


class FaultyLine:
    """The line to the paper exchange, which loses, hides or refuses something in the minutes that the schedule names."""

    def __init__(self, broker: Broker, schedule: Schedule, clock: Clock) -> None:
        self._broker, self._clock = broker, clock
        opens = calendar(schedule).session(DAY).open
        # The cycle that decides bar m comes a minute after its start.
        self._faults = [(opens + timedelta(minutes=fault.minute + 1), fault.name) for fault in schedule.faults]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def _is_on(self, name: str) -> bool:
        now = self._clock.now()
        return any(fault == name and since <= now < since + timedelta(minutes=1) for since, fault in self._faults)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        for name, answer in (
            ("request lost", Unknown(reason="the request got lost")),
            ("not sent", NotSent(reason="there is no line")),
            ("refused", Rejected(reason="not today")),
        ):
            if self._is_on(name):
                return cast("Answer", answer)
        done = self._broker.submit(order, deadline)
        return Unknown(reason="the answer got lost") if self._is_on("answer lost") else done

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        return Unknown(reason="no answer") if self._is_on("blind") else self._broker.find(intent_id)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        self._require_there()
        return () if self._is_on("stale") else self._broker.executions(since)

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        self._require_there()
        return self._broker.open_orders()

    def _require_there(self) -> None:
        if self._is_on("away"):
            raise TemporaryError("the line is down")


class Shown:
    """A broker whose book is looked at after each call that changes it."""

    def __init__(self, broker: Broker, look: Callable[[], object]) -> None:
        self._broker, self._look = broker, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        return self._shown(self._broker.submit(order, deadline))

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        return self._shown(self._broker.cancel(intent_id, deadline))

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        return self._shown(self._broker.reduce(intent_id, quantity, deadline))

    def _shown(self, answer: Answer) -> Answer:
        self._look()
        return answer


class ChanceIds:
    """The control of deterministic ids: each order goes out under a new one, which dies with the process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._sent: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        stop, target = order.attached_stop, order.attached_target
        return self._broker.submit(
            replace(
                order,
                intent_id=self._new(order.intent_id),
                attached_stop=stop and replace(stop, intent_id=self._new(stop.intent_id)),
                attached_target=target and replace(target, intent_id=self._new(target.intent_id)),
            ),
            deadline,
        )

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        return self._broker.cancel(self._out(intent_id), deadline)

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        return self._broker.reduce(self._out(intent_id), quantity, deadline)

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        found = self._broker.find(self._out(intent_id))
        return Found(order=replace(found.order, intent_id=intent_id)) if isinstance(found, Found) else found

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        return tuple(replace(one, intent_id=self._back(one.intent_id)) for one in self._broker.open_orders())

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        return tuple(replace(one, intent_id=self._back(one.intent_id)) for one in self._broker.executions(since))

    def _new(self, intent_id: str) -> str:
        self._sent[intent_id] = uuid.uuid4().hex
        return self._sent[intent_id]

    def _out(self, intent_id: str) -> str:
        return self._sent.get(intent_id, intent_id)

    def _back(self, sent: str) -> str:
        return next((intent_id for intent_id, one in self._sent.items() if one == sent), sent)


class UnknownIsRejected:
    """The control of Law 4."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        answer = self._broker.submit(order, deadline)
        return Rejected(reason=answer.reason) if isinstance(answer, Unknown) else answer
