"""The states of a booking and the events that lead from one to another. What is not in the table is refused."""

from dataclasses import dataclass

from tirefit.errors import WrongTransition
from tirefit.models import LIVE

CUSTOMER, USER = "customer", "user"


@dataclass(frozen=True)
class Transition:
    """An event: from which states, to which one, and who may cause it."""

    sources: frozenset[str]
    target: str
    actors: frozenset[str]


def _by(actors: str, sources: str, target: str) -> Transition:
    return Transition(frozenset(sources.split()), target, frozenset(actors.split()))


TRANSITIONS = {
    "confirm": _by(USER, "pending", "confirmed"),
    "arrive": _by(USER, "confirmed", "arrived"),
    "start": _by(USER, "confirmed arrived", "in_progress"),
    "complete": _by(USER, "in_progress", "completed"),
    "no_show": _by(USER, "confirmed", "no_show"),
    "cancel_by_customer": _by(CUSTOMER, "pending confirmed arrived", "cancelled_by_customer"),
    "cancel_by_station": _by(USER, "pending confirmed arrived", "cancelled_by_station"),
}


# What staff do with a tap, as the day goes on.
BY_HAND = ("confirm", "arrive", "start", "complete", "no_show")

# What changes for the customer, and so makes a new version of the booking: letters about the one before are void. That
# the car has arrived or is being worked on is no news to its owner.
NEWS = frozenset({"confirm", "cancel_by_customer", "cancel_by_station"})


def target_of(event: str, status: str, actor: str) -> str | None:
    """Where `event` leads from `status`; None when the booking is already there (the same tap, sent twice).

    Raises WrongTransition for everything that is not in the table.
    """
    transition = TRANSITIONS.get(event)
    if transition is None or actor not in transition.actors:
        raise WrongTransition(event=event, status=status)
    if status == transition.target:
        return None
    if status not in transition.sources:
        raise WrongTransition(event=event, status=status)
    return transition.target


def possible_events(status: str, actor: str) -> list[str]:
    """What such an actor may do with a booking in this state, in the table's order."""
    return [
        event
        for event, transition in TRANSITIONS.items()
        if status in transition.sources and actor in transition.actors
    ]


def is_live(status: str) -> bool:
    """Does a booking in this state occupy its time?"""
    return status in LIVE
