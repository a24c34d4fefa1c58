"""The screen of a post: who may see it, what it shows, what a tap does."""

import pytest

from tests.factories import BORIS, booking, kyiv
from tirefit.booking.at_the_gate import extend_visit, report_problem
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.steps import cancel_booking, transition_booking, undo_transition
from tirefit.database import db
from tirefit.errors import BookingChanged, WrongTransition
from tirefit.models import Booking, BookingEvent


def current(made):
    db.session.rollback()
    return db.session.get_one(Booking, made.id, populate_existing=True)


def events_of(made):
    db.session.rollback()
    return [event.event for event in db.session.query(BookingEvent).filter_by(booking_id=made.id).order_by("id")]


# --- what the bay reports


def test_a_problem_is_kept_with_who_said_so_until_somebody_deals_with_it(station, ivan):
    made = booking(station, "10:00", post_number=1)

    report_problem(made.id, "another_post", user_id=ivan.id)
    report_problem(made.id, "another_post", user_id=ivan.id)
    assert (current(made).problem, events_of(made)) == ("another_post", ["created", "problem"])
    trace = current(made).events[-1]
    assert (trace.user_id, trace.before, trace.after) == (ivan.id, {"problem": ""}, {"problem": "another_post"})

    reschedule_booking(made.id, actor="user", post_number=3)
    assert current(made).problem == ""
    report_problem(made.id, "breakdown")
    report_problem(made.id, "")
    assert (current(made).problem, events_of(made)[-2:]) == ("", ["problem", "problem_solved"])


def test_the_next_step_ends_a_problem_and_taking_it_back_brings_it_back(station):
    made = booking(station, "10:00")
    report_problem(made.id, "no_part")

    transition_booking(made.id, "start")
    assert current(made).problem == ""
    undo_transition(made.id)
    assert current(made).problem == "no_part"


def test_what_is_over_has_no_problems(station):
    made = booking(station, "10:00")
    with pytest.raises(WrongTransition):
        report_problem(made.id, "hunger")
    report_problem(made.id, "customer_refused")
    cancel_booking(made.id, actor="user")

    assert current(made).problem == ""
    with pytest.raises(WrongTransition):
        report_problem(made.id, "no_part")


def test_a_problem_of_a_booking_that_has_changed_is_not_reported(station):
    made = booking(station, "10:00")
    seen = made.version
    transition_booking(made.id, "arrive")

    with pytest.raises(BookingChanged):
        report_problem(made.id, "no_part", seen_version=seen)


def test_ten_minutes_more_tapped_twice_are_ten_minutes(station, at, ivan, olga):
    made = booking(station, "09:00", post_number=2)
    booking(station, "10:20", BORIS, post_number=2)
    transition_booking(made.id, "start")
    seen = current(made).version

    extend_visit(made.id, 10, user_id=ivan.id, seen_version=seen)
    extend_visit(made.id, 10, user_id=ivan.id, seen_version=seen)

    assert current(made).expected_end_at == kyiv("09:50")
    with pytest.raises(BookingChanged):
        extend_visit(made.id, 10, user_id=olga.id, seen_version=seen)
