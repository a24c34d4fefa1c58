"""The mistakes that scripts/mutants.py plants: such as people would make, a line or two each, and who may notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    what: str
    file: str  # or several, with the same line
    line: str
    instead: str
    first: str = "the machine"  # to be asked
    held_out: bool = False  # written after the tests were frozen


RESERVATIONS = "tirefit/schedule/reservations.py"
AVAILABILITY = "tirefit/schedule/availability.py"
SLOTS = "tirefit/schedule/slots.py"
GRID = "tirefit/schedule/grid.py"
WINDOWS = "tirefit/schedule/windows.py"
WEEKS = "tirefit/schedule/changes/weeks.py"
RUNS = "tirefit/schedule/changes/runs.py"
BLOCKS = "tirefit/schedule/blocks.py"
STEPS = "tirefit/booking/steps.py"
COMMANDS = "tirefit/booking/commands.py"
GUARD = "migrations/versions/0007_schedule.py"
GUARDS = f"{GUARD} tirefit/models/schedule.py"

MUTANTS = [
    Mutant(
        "the guard against overlaps is missing when time is taken",
        GUARD,
        'GUARD_AT_INSERT = """CREATE TRIGGER',
        'GUARD_AT_INSERT = """CREATE TEMP TRIGGER',
        "the others",
    ),
    Mutant(
        "the guard against overlaps is missing when time is moved",
        GUARD,
        "BEFORE UPDATE OF id, service_post_id, starts_at, ends_at ON",
        "BEFORE UPDATE OF token_hash ON",
        "the machine",
    ),
    Mutant("the guard compares what is moved with itself", GUARDS, " AND r.id <> OLD.id", ""),
    Mutant(
        "no guard looks when time is taken, and no schema knows of one",
        GUARDS,
        "BEFORE INSERT ON reservations",
        "BEFORE UPDATE OF token_hash ON reservations",
    ),
    Mutant(
        "no guard looks when time is moved, and no schema knows of one",
        GUARDS,
        "BEFORE UPDATE OF id, service_post_id, starts_at, ends_at ON",
        "BEFORE UPDATE OF token_hash ON",
    ),
    Mutant(
        "the guard of PostgreSQL is missing",
        GUARD,
        'name="reservations_no_overlap",',
        'name="reservations_no_overlap", where=sa.text("false"),',
        "the crowd",
    ),
    Mutant(
        "an expired hold stands in the way of a write",
        RESERVATIONS,
        "if reservation_id is None and purge_expired(run.service_post_id, span):",
        "if False:",
    ),
    Mutant(
        "an expired hold stands in the way of a move",
        RESERVATIONS,
        "    span = (run.starts_at, run.ends_at)\n    purge_expired(run.service_post_id, span)\n",
        "    span = (run.starts_at, run.ends_at)\n",
    ),
    Mutant(
        "an expired hold hides its time from readers",
        AVAILABILITY,
        "or_(_reservation.expires_at.is_(None), _reservation.expires_at > (clock.now() if now is None else now))",
        "_reservation.id > 0",
    ),
    Mutant(
        "a hold lives a second too long",
        AVAILABILITY,
        "_reservation.expires_at > (clock.now()",
        "_reservation.expires_at >= (clock.now()",
    ),
    Mutant(
        "a live hold is stolen", RESERVATIONS, "Reservation.expires_at <= clock.now(),", 'Reservation.kind == "hold",'
    ),
    Mutant(
        "a hold is tidied away a minute early",
        RESERVATIONS,
        "over = clock.now() - timedelta(hours=1)",
        "over = clock.now() - timedelta(minutes=59)",
        "the others",
    ),
    Mutant(
        "a hold becomes a booking after its time has begun",
        COMMANDS,
        "    if hold.starts_at < clock.now():\n",
        "    if False:\n",
    ),
    Mutant(
        "an expired hold whose time is another's becomes a booking",
        RESERVATIONS,
        'if db.session.execute(TURN, {"hold_id": hold.reservation_id}).first() is None:',
        'if db.session.execute(TURN, {"hold_id": hold.reservation_id}) is None:',
    ),
    Mutant(
        "an eleventh extension",
        RESERVATIONS,
        "return self.extensions < MOST_EXTENSIONS",
        "return self.extensions <= MOST_EXTENSIONS",
    ),
    Mutant(
        "releasing a hold releases a booking too",
        RESERVATIONS,
        '    _row.token_hash == bindparam("token_hash"), _row.kind == "hold"\n)\nHELD_BY',
        '    _row.token_hash == bindparam("token_hash")\n)\nHELD_BY',
    ),
    Mutant(
        "cancelling leaves the time reserved", STEPS, "        reservations.free(reservation_id)\n", "        pass\n"
    ),
    Mutant(
        "done counts as not come",
        "tirefit/booking/states.py",
        '"complete": _by(USER, "in_progress", "completed")',
        '"complete": _by(USER, "in_progress", "no_show")',
    ),
    Mutant(
        "a move forgets the post",
        RESERVATIONS,
        'values = {"service_post_id": run.service_post_id, "starts_at"',
        'values = {"starts_at"',
    ),
    Mutant(
        "a move leaves a hole where it was",
        RESERVATIONS,
        "    slots.heal(point_id, old_post_id, old_span)  # as when it is freed\n",
        "",
    ),
    Mutant(
        "time off the grid is given to customers",
        AVAILABILITY,
        "bookable_runs_of(point, posts, (starts_at, starts_at + timedelta.resolution), minutes)",
        "bookable_runs_of(point, posts, (starts_at - timedelta(minutes=4), starts_at + timedelta.resolution), minutes)",
    ),
    Mutant(
        "nobody looks at the offer after the insert",
        RESERVATIONS,
        "        if on_grid:\n            raise SlotNotOffered(starts_at=run.starts_at)\n",
        "        if on_grid:\n            return reservation_id\n",
        "the race",
    ),
    Mutant(
        "a change of lengths cuts through bookings",
        SLOTS,
        'lasting = tuple(found.span for found in of_post if found.kind != "hold")',
        "lasting: tuple[Span, ...] = ()",
    ),
    Mutant(
        "holds shape the offer and leave gaps when they expire",
        SLOTS,
        'lasting = tuple(found.span for found in of_post if found.kind != "hold")',
        "lasting = tuple(found.span for found in of_post)",
    ),
    Mutant(
        "a hold from before a change of lengths becomes a booking without a new cut",
        RESERVATIONS,
        "slots.heal(hold.service_point_id, hold.service_post_id, span)",
        "pass",
    ),
    Mutant(
        "freed time that is not made of slots stays a hole",
        RESERVATIONS,
        "slots.heal(gone.service_point_id, gone.service_post_id, (gone.starts_at, gone.ends_at))",
        "pass",
    ),
    Mutant(
        "a cut round freed time stops at midnight",
        SLOTS,
        "first = local_day(point.time_zone, span[0]) - A_DAY",
        "first = local_day(point.time_zone, span[0])",
        "the others",
    ),
    Mutant(
        "a slot across midnight reaches into one of the day before",
        SLOTS,
        "first = max(bisect_left(cells, (ended,)), bisect_right",
        "first = max(0, bisect_right",
        "the others",
    ),
    Mutant(
        "the night before the evening before is forgotten",
        SLOTS,
        "windows_of = _windows_of(hours, ids, first_day - 2 * A_DAY,",
        "windows_of = _windows_of(hours, ids, first_day - A_DAY,",
    ),
    Mutant("the last slot before closing is lost", GRID, "while stop <= end:", "while stop < end:", "the arithmetic"),
    Mutant(
        "a slot right after a reservation counts as taken",
        GRID,
        "while i < count and taken[i][1] <= cell[0]:",
        "while i < count and taken[i][1] < cell[0]:",
        "the arithmetic",
    ),
    Mutant(
        "hours are counted from midnight, DST or not",
        WINDOWS,
        "return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)",
        "return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) + timedelta(minutes=minute)",
    ),
    Mutant(
        "a wall time that comes twice is its second",
        WINDOWS,
        "return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)",
        "return wall.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC)",
    ),
    Mutant(
        "the part of a day after the break is lost",
        WINDOWS,
        "if weekday == day.weekday())",
        "if weekday == day.weekday())[:1]",
    ),
    Mutant(
        "hours of one day run into those of the evening before", WINDOWS, "start = max(start, spans[-1][1])", "pass"
    ),
    Mutant(
        "the station's exception beats the post's",
        WINDOWS,
        "for owner in (post_id, None):",
        "for owner in (None, post_id):",
    ),
    Mutant(
        "the station's season loses to the post's week",
        WINDOWS,
        "(week.is_season, week.post_id is not None, week.priority, week.id)",
        "(week.post_id is not None, week.is_season, week.priority, week.id)",
    ),
    Mutant(
        "a time of today that has passed is offered",
        AVAILABILITY,
        "return now + timedelta(minutes=point.lead_minutes), day_span",
        "return now - timedelta(minutes=30), day_span",
    ),
    Mutant(
        "a post with bookings ahead is switched off",
        "tirefit/schedule/subjects.py",
        'if post.active and not state["active"] and (ahead := reserved_ahead(post)):',
        "if False and (ahead := reserved_ahead(post)):",
    ),
    Mutant(
        "a season is saved while the nightly job opens a day by the old hours",
        WEEKS,
        "    _require_order(valid_from, valid_until)\n    point = lock_station(point_id)\n",
        "    _require_order(valid_from, valid_until)\n    point = db.session.get_one(ServicePoint, point_id)\n",
        "the race",
    ),
    Mutant(
        "regeneration does not wait for who is taking time",
        SLOTS,
        "order_by(ServicePost.id).with_for_update().execution_options",
        "order_by(ServicePost.id).execution_options",
        "the race",
    ),
    # Written when the tests had been frozen, at 7913550. Six of ten were killed. The second survives because it
    # changes nothing: `difference` looks a day further by itself. The fifth, the seventh and the eighth survived;
    # test_model.py, test_reservations.py and test_slots.py know them since.
    Mutant(
        "the last day of the horizon cannot be booked",
        AVAILABILITY,
        "last_day = local_day(point.time_zone, now) + timedelta(days=point.horizon_days)",
        "last_day = local_day(point.time_zone, now) + timedelta(days=point.horizon_days - 1)",
        held_out=True,
    ),
    Mutant(
        "a cut round freed time forgets the morning after",
        SLOTS,
        "last = min(local_day(point.time_zone, span[1]) + A_DAY, point.slots_until)",
        "last = min(local_day(point.time_zone, span[1]), point.slots_until)",
        held_out=True,
    ),
    Mutant(
        "undoing the closing of some dates opens the first of them only",
        RUNS,
        'put_exceptions(point.id, run.subject["post_id"], run.before)',
        'put_exceptions(point.id, run.subject["post_id"], dict(list(run.before.items())[:1]))',
        held_out=True,
    ),
    Mutant(
        "an exception of the station takes those of its posts away",
        "tirefit/schedule/subjects.py",
        "ScheduleException.service_post_id == post_id,\n"
        "            ScheduleException.day.in_([date.fromisoformat(day) for day in states]),",
        "ScheduleException.day.in_([date.fromisoformat(day) for day in states]),",
        held_out=True,
    ),
    Mutant(
        "the post is chosen by what it leaves over, and only then by what it wastes",
        AVAILABILITY,
        "return run.breadth, run.waste_minutes, fragment_minutes(run), run.post_number",
        "return run.breadth, fragment_minutes(run), run.waste_minutes, run.post_number",
        held_out=True,
    ),
    Mutant(
        "a hold is extended from its end instead of from now",
        RESERVATIONS,
        "_expiry(db.session.get_one(ServicePoint, hold.service_point_id)), extensions=1)",
        "hold.expires_at + timedelta(minutes=15), extensions=1)",
        held_out=True,
    ),
    Mutant(
        "a block goes round holds that are over",
        BLOCKS,
        "    purge_expired(post_id, (starts_at, ends_at))\n",
        "",
        held_out=True,
    ),
    Mutant(
        "a booking of time that is not offered cannot be restored",
        STEPS,
        'run, "booking", on_grid=False)',
        'run, "booking")',
        held_out=True,
    ),
    Mutant(
        "work that is too long is told to be taken",
        "tirefit/schedule/reasons.py",
        "if possible := _run_at(post, starts_at, minutes, cells, []):",
        "if possible := _run_at(post, starts_at, None, cells, []):",
        held_out=True,
    ),
    Mutant(
        "the nearest time is looked for in every fourth stretch only",
        AVAILABILITY,
        "start, width = start + width, width * 4",
        "start, width = start + width * 4, width * 4",
        held_out=True,
    ),
    # Ten more, written when the tests had been frozen again, at a2db5b4. Eight were killed. The seventh and the eighth
    # survived; tests/integration/test_slots.py and test_moves.py know them since.
    Mutant(
        "time that is shorter than its last slot counts as made of slots",
        GRID,
        "return reached == span[1]",
        "return reached >= span[1]",
        held_out=True,
    ),
    Mutant(
        "of two equal plans the older one rules",
        WINDOWS,
        "(week.is_season, week.post_id is not None, week.priority, week.id)",
        "(week.is_season, week.post_id is not None, week.priority, -week.id)",
        held_out=True,
    ),
    Mutant(
        "the last day that is offered ends at midnight, though its hours do not",
        SLOTS,
        "limit = max([day_span(point.time_zone, beyond)[1], *(closes for _, closes in of_the_last)])",
        "limit = day_span(point.time_zone, beyond)[1]",
        held_out=True,
    ),
    Mutant(
        "a post that does one of the services is offered for all of them",
        AVAILABILITY,
        'or_(jobs == 0, these_jobs == bindparam("services", type_=Integer)),',
        'or_(jobs == 0, these_jobs >= func.min(1, bindparam("services", type_=Integer))),',
        held_out=True,
    ),
    Mutant(
        "holds that are over count against a network",
        RESERVATIONS,
        '_row.origin == bindparam("origin"), _row.expires_at > bindparam("now"))',
        '_row.origin == bindparam("origin"))',
        held_out=True,
    ),
    Mutant(
        "who names a post is told the reason of another",
        "tirefit/schedule/reasons.py",
        "reasons = {answer.reason for answer in answers if post_number in (None, answer.post_number)}",
        "reasons = {answer.reason for answer in answers}",
        held_out=True,
    ),
    Mutant(
        "a station that has been away for days is offered its past",
        "tirefit/schedule/rolling.py",
        "first = today if again or point.slots_until is None else max(today, point.slots_until + A_DAY)",
        "first = today if again or point.slots_until is None else point.slots_until + A_DAY",
        held_out=True,
    ),
    Mutant(
        "a booking whose work changes goes to another post, though it could stay",
        COMMANDS,
        "found.sort(key=lambda run: run.service_post_id != booking.service_post_id)",
        "pass",
        held_out=True,
    ),
    Mutant(
        "closing holidays closes days that have been given hours of their own",
        "tirefit/schedule/changes/exceptions.py",
        "for day, state in states.items() if state is None)",
        "for day, state in states.items())",
        held_out=True,
    ),
    Mutant(
        "opening blocked time again opens one piece of it",
        BLOCKS,
        "if piece.id == reservation_id or (piece.wanted and piece.wanted == found.wanted):",
        "if piece.id == reservation_id:",
        held_out=True,
    ),
    # Ten more, written when the tests had been frozen for the third time, at 6616c63. Nine were killed. The seventh
    # survived; tests/integration/test_reasons.py knows it since.
    Mutant(
        "a cancelled booking is brought back after its time has begun",
        STEPS,
        "    if booking.starts_at <= clock.now():\n        raise InThePast()\n    booking.cancel_reason",
        "    if booking.ends_at <= clock.now():\n        raise InThePast()\n    booking.cancel_reason",
        held_out=True,
    ),
    Mutant(
        "a change can be undone past a newer one of the same thing",
        RUNS,
        "is_last = run.subject not in seen and run.undone_at is None",
        "is_last = run.undone_at is None",
        held_out=True,
    ),
    Mutant(
        "a city is searched as far as the shortest of its horizons",
        "tirefit/schedule/cities.py",
        "max(end for _, end in spans.values())",
        "min(end for _, end in spans.values())",
        held_out=True,
    ),
    Mutant(
        "what was reserved before midnight and reaches over it is not seen",
        AVAILABILITY,
        '{**which, "start": span[0] - 2 * A_DAY, "end": span[1] + A_DAY, "without"',
        '{**which, "start": span[0], "end": span[1] + A_DAY, "without"',
        held_out=True,
    ),
    Mutant(
        "the post that is preferred is not",
        "tirefit/booking/placement.py",
        "    best.sort(key=lambda run: run.post_number != preferred_post)\n",
        "",
        held_out=True,
    ),
    Mutant(
        "work that takes longer takes nothing where the next customer's time is in the way",
        "tirefit/booking/at_the_gate.py",
        "until = min(expected, booking.starts_at + A_DAY, _next_start(booking) or expected)",
        "until = min(expected, booking.starts_at + A_DAY)",
        held_out=True,
    ),
    Mutant(
        "a station that takes no bookings names the soonest time of its posts",
        "tirefit/schedule/reasons.py",
        "next(possible, None) if post.is_able and point.active else None",
        "next(possible, None) if post.is_able else None",
        held_out=True,
    ),
    Mutant(
        "customers may change their visit until shortly before its end",
        STEPS,
        "return clock.now() <= booking.starts_at - cutoff",
        "return clock.now() <= booking.ends_at - cutoff",
        held_out=True,
    ),
    Mutant(
        "the hours of an evening run over those of the next morning",
        WINDOWS,
        "start = max(start, spans[-1][1])",
        "pass",
        held_out=True,
    ),
    Mutant(
        "the minutes of a larger car are rounded down",
        "tirefit/models/services.py",
        "-(-self.base_duration * car_type.duration_factor // 500) * 5",
        "self.base_duration * car_type.duration_factor // 500 * 5",
        held_out=True,
    ),
]
