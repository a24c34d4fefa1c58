"""What a manager is shown is what then happens, for any edit: counts and slots, on the page and in the whole offer.

Edits are made up at random over a station with bookings, holds and closed time: lengths, at once and from a day on,
what a post takes, switching off, weeks, seasons, exceptions of some posts, several days at once. Each is looked at,
applied, compared with the tables, and undone.
With TIREFIT_TRIALS=1 there are a thousand on each database, other ones each time.
"""

import os
import random
from datetime import date, timedelta

import pytest
from sqlalchemy import select, text

from tests import factories
from tests.factories import booking, kyiv
from tirefit.database import db
from tirefit.errors import Problem
from tirefit.models import Reservation, ScheduleSlot, ScheduleTemplate
from tirefit.schedule import changes
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.schedule.windows import local_day
from tirefit.web.preview import arrange, closed_days, count_by_post

TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))
EDITS = 1000 if TRIALS else 20
FIRST = date(2026, 11, 2)
HALF_HOURS = range(0, 1440, 30)


@pytest.fixture
def busy(app):
    """«Зимняя, 5» with an ordinary week sold here and there."""
    station = factories.station(horizon_days=16, posts=(30, 40, 25))
    for n, time in enumerate(("03 09:00", "03 12:10", "04 10:00", "06 15:30", "10 09:40", "11 17:00", "13 11:00")):
        booking(station, f"2026-11-{time[:2]} 09:00" if n == 0 else next_free(station, f"2026-11-{time}"))
    reserve_slot_temporarily(station.id, next_free(station, "2026-11-05 10:00"), 30, new_token())
    block_time(station.id, station.posts[1].id, kyiv("2026-11-09 13:00"), kyiv("2026-11-09 16:05"), reason="Ремонт")
    return station


def next_free(station, moment):
    found = select(ScheduleSlot.starts_at).where(
        ScheduleSlot.service_point_id == station.id,
        ScheduleSlot.starts_at >= kyiv(moment),
        ScheduleSlot.starts_at < kyiv(moment) + timedelta(hours=8),
    )
    taken = set(db.session.scalars(select(Reservation.starts_at)))
    return next(start for start in db.session.scalars(found.order_by(ScheduleSlot.starts_at)) if start not in taken)


def test_what_is_shown_is_what_happens_and_is_undone(busy):
    seed = random.randrange(2**32) if TRIALS else 5
    chance, done = random.Random(seed), 0
    while done < EDITS:
        name, look, apply = an_edit(chance, busy)
        where = f"seed {seed}, edit {done}: {name}"
        before, sold = slots(busy), promises()
        try:
            shown = look()
        except Problem:
            continue
        assert slots(busy) == before, where
        try:
            runs = apply()
        except Problem:
            assert (slots(busy), promises()) == (before, sold), where
            continue
        compare(busy, shown, before, slots(busy), where)
        assert promises() == sold, where
        for run in reversed(runs):
            changes.undo_run(run)
        assert slots(busy) == before, where
        assert promises() == sold, where
        done += 1


def test_the_comparison_sees_a_wrong_preview(busy):
    """The control: what is shown belongs to another edit."""
    before = slots(busy)
    shown = changes.preview_exceptions(busy, FIRST + timedelta(days=1), FIRST + timedelta(days=1))
    changes.save_exceptions(busy.id, FIRST + timedelta(days=2), FIRST + timedelta(days=2))
    with pytest.raises(AssertionError):
        compare(busy, shown, before, slots(busy), "control")


def compare(station, shown, before, after, where):
    """Slots and counts of a preview with what the tables were and are."""
    assert {(post, start, end) for start, post, end in shown.added} == after - before, where
    assert {(post, start, end) for start, post, end in shown.removed} == before - after, where
    page = arrange(shown, station)
    week = [day.date for day in page.days]

    def free(found, posts=None):
        return [
            slot
            for slot in found
            if local_day(station.time_zone, slot[1]) in week
            and slot[0] in (posts or {post.id for post in shown_posts(station, shown)})
            and not is_taken(*slot)
        ]

    was, will = free(before), free(after)
    assert (page.before, page.after) == (len(was), len(will)), where
    assert (page.added, page.removed) == (len(set(will) - set(was)), len(set(was) - set(will))), where
    assert page.kept == len(set(was) & set(will)), where
    for post, counts in count_by_post(shown, week[0], station).items():
        if any(counts):
            one = {post}
            assert counts[:2] == (len(free(before, one)), len(free(after, one))), where
    for line in closed_days(shown, station, week):
        gone = [slot for slot in set(was) - set(will) if local_day(station.time_zone, slot[1]) == line.date]
        assert line.gone == len(gone), where


def shown_posts(station, shown):
    """A change of one post shows that post alone."""
    named = {cell[1] for cells in (shown.kept, shown.added, shown.removed) for cell in cells}
    return [post for post in station.posts if post.id in named]


def is_taken(post, start, end):
    return any(post == each[0] and start < each[2] and each[1] < end for each in TAKEN["now"])


TAKEN = {"now": []}


def slots(station):
    db.session.rollback()
    found = select(Reservation.service_post_id, Reservation.starts_at, Reservation.ends_at)
    TAKEN["now"] = db.session.execute(found.where(Reservation.kind != "hold")).all()
    columns = ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at
    return {
        tuple(row) for row in db.session.execute(select(*columns).where(ScheduleSlot.service_point_id == station.id))
    }


def promises():
    """Bookings and reservations, as the database keeps them."""
    tables = ("bookings", "reservations", "booking_services")
    return [sorted(map(repr, db.session.execute(text(f"SELECT * FROM {table}")))) for table in tables]


def an_edit(chance, station):
    """→ its name, how to look at it, and how to apply it (→ the runs it leaves)."""
    kind = chance.choice(("length", "later", "off", "week", "season", "days", "days", "holidays"))
    post = chance.choice(station.posts)
    if kind in ("length", "later", "off"):
        minutes, active = chance.choice((5, 15, 20, 30, 45, 60, 95, 240, 480)), kind != "off"
        about = {"post_number": post.post_number, "name": post.name, "description": post.description}
        change = {"slot_duration": minutes, "active": active}
        if kind == "later":
            change["from_day"] = FIRST + timedelta(days=chance.randrange(18))
        able = changes.Abilities(largest_wheel=chance.choice((None, 18)))
        return (
            f"{kind} {post.post_number} {change}",
            lambda: changes.preview_post_schedule(post, **change),
            lambda: [changes.update_post(post.id, **about, **change, abilities=able).run_id],
        )
    if kind in ("week", "season"):
        week, template = a_week(chance), a_template(station)
        about = {"post_id": chance.choice((None, post.id))}
        if kind == "season":
            first = FIRST + timedelta(days=chance.randrange(12))
            about |= {"valid_from": first, "valid_until": first + timedelta(days=chance.randrange(9)), "priority": 1}
            template = None
        return (
            f"{kind} {week} {about}",
            lambda: changes.preview_template(station, week, template, **about),
            lambda: [changes.save_template(station.id, week, name="Неделя", template_id=template, **about).run_id],
        )
    first = FIRST + timedelta(days=chance.randrange(1, 14))
    if kind == "holidays":
        days = {first + timedelta(days=n): "Праздник" for n in chance.sample(range(5), 3)}
        return (
            f"holidays {sorted(days)}",
            lambda: changes.preview_closed_days(station, days),
            lambda: [changes.close_days(station.id, days).run_id],
        )
    last, windows = first + timedelta(days=chance.randrange(4)), a_day(chance)
    ids = [each.id for each in chance.sample(station.posts, chance.randrange(3))]
    return (
        f"days {first} {last} {windows} {ids}",
        lambda: changes.preview_exceptions(station, first, last, windows, post_ids=ids),
        lambda: [each.run_id for each in changes.save_exceptions(station.id, first, last, windows, post_ids=ids)],
    )


def a_template(station):
    return db.session.scalars(
        select(ScheduleTemplate.id).where(ScheduleTemplate.service_point_id == station.id)
    ).first()


def a_week(chance):
    return [(weekday, *window) for weekday in range(7) for window in a_day(chance)]


def a_day(chance):
    """None, one or two windows."""
    times = sorted(chance.sample(HALF_HOURS, 4))
    return [(), [(times[0], times[3])], [(times[0], times[1]), (times[2], times[3])]][chance.randrange(3)]
