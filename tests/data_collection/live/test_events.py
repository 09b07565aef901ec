from __future__ import annotations

from alphaqcm.data_collection.live.events import Control, ControlKind, Event, LocalBus, Subscriber
from alphaqcm.pipeline.domain.registry import Market

STARTED = Control(ControlKind.STARTED, Market.UM)


def test_a_failing_subscriber_stops_no_other_and_is_told() -> None:
    failures: list[tuple[Subscriber, Exception]] = []
    heard: list[Event] = []

    def fails(_: Event) -> None:
        raise RuntimeError("broken")

    bus = LocalBus(lambda one, error: failures.append((one, error)))
    bus.subscribe(fails)
    bus.subscribe(heard.append)
    bus.publish(STARTED)
    assert heard == [STARTED]
    assert [(one, str(error)) for one, error in failures] == [(fails, "broken")]


def test_who_has_unsubscribed_hears_nothing_even_while_an_event_is_given_out() -> None:
    heard: list[Event] = []
    bus = LocalBus(lambda *_: None)
    end = bus.subscribe(heard.append)
    bus.subscribe(lambda _: end())
    bus.publish(STARTED)
    bus.publish(STARTED)
    assert heard == [STARTED]
