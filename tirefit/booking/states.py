"""The states of a booking, and everything that can be done with one: from which states, by whom, to which state.

What is not in the table is refused, whoever asks and by whichever door.
"""

from dataclasses import dataclass

from tirefit.errors import WrongTransition
from tirefit.models import LIVE

CUSTOMER, USER = "customer", "user"
AS_BEFORE = "as before"  # a target: the state that the step before had left


@dataclass(frozen=True)
class Transition:
    """Something that happens to a booking: in which states it may, and who may cause it.

    `target` None: the state stays (the time changes, or what is known about it).
    """

    sources: frozenset[str]
    target: str | None
    actors: frozenset[str]


def _by(actors: str, sources: str, target: str | None) -> Transition:
    return Transition(frozenset(sources.split()), target, frozenset(actors.split()))


TRANSITIONS = {
    "confirm": _by(USER, "pending", "confirmed"),
    "arrive": _by(USER, "confirmed", "arrived"),
    "start": _by(USER, "confirmed arrived", "in_progress"),
    "complete": _by(USER, "in_progress", "completed"),
    "no_show": _by(USER, "confirmed", "no_show"),
    "cancel_by_customer": _by(CUSTOMER, "pending confirmed arrived", "cancelled_by_customer"),
    "cancel_by_station": _by(USER, "pending confirmed arrived", "cancelled_by_station"),
    "restore_by_customer": _by(CUSTOMER, "cancelled_by_customer", AS_BEFORE),
    "restore_by_station": _by(USER, "cancelled_by_customer cancelled_by_station", AS_BEFORE),
    "undo": _by(USER, "confirmed arrived in_progress completed no_show", AS_BEFORE),
    "reschedule_by_customer": _by(CUSTOMER, "pending confirmed", None),
    "reschedule_by_station": _by(USER, "pending confirmed arrived", None),
    "late": _by(CUSTOMER, "pending confirmed", None),
    "come": _by(CUSTOMER, "pending confirmed", None),
}


# What staff do with a tap, as the day goes on; each of these can be undone for ten minutes.
BY_HAND = ("confirm", "arrive", "start", "complete", "no_show")

# What changes for the customer, and so makes a new version of the booking: letters about the one before are void. That
# the car has arrived or is being worked on is no news to its owner.
NEWS = frozenset(
    {"confirm", "cancel_by_customer", "cancel_by_station", "restore_by_customer", "restore_by_station", "rescheduled"}
)


def target_of(event: str, status: str, actor: str) -> str | None:
    """Where `event` leads from `status`; None when the booking is already there (the same tap, sent twice).

    Raises WrongTransition for everything that is not in the table.
    """
    transition = _transition(event, status, actor)
    if status == transition.target:
        return None
    if status not in transition.sources:
        raise WrongTransition(event=event, status=status)
    return transition.target


def require(event: str, status: str, actor: str) -> None:
    """Raises WrongTransition unless the table allows `event` in this state to such an actor."""
    if status not in _transition(event, status, actor).sources:
        raise WrongTransition(event=event, status=status)


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


def _transition(event: str, status: str, actor: str) -> Transition:
    transition = TRANSITIONS.get(event)
    if transition is None or actor not in transition.actors:
        raise WrongTransition(event=event, status=status)
    return transition
