"""What a station's own programs send and get: posts, hours, the day, its bookings."""

from marshmallow import fields, validate

from tirefit.api.fields import (
    LARGEST_ID,
    ADay,
    Answer,
    Asked,
    Digits,
    Instant,
    Line,
    Sent,
    Truth,
    Whole,
    at_most,
    between,
    moment,
    one_of,
    row_id,
    row_ids,
)
from tirefit.api.schemas import Booking, Page, Paged, wheels
from tirefit.booking.states import BY_HAND
from tirefit.models import STATUSES
from tirefit.web.forms.text import PHONE_LENGTH, PLATE_LENGTH

EVENTS = (*BY_HAND, "cancel_by_station", "restore_by_station", "undo")
NAME_LENGTH, DESCRIPTION_LENGTH, REASON_LENGTH = 60, 120, 120  # as the forms of the pages have them
A_MINUTE_OF_TWO_DAYS = r"^([0-3][0-9]|4[0-8]):[0-5][0-9]$"


# --- changes, and what they would do


class DryRun(Asked):
    """`dry_run=true` shows what a change would do, and does nothing.

    `expected` is the fingerprint of that: the change is refused where it would now do something else.
    """

    dry_run = fields.String(validate=one_of("true", "false"), load_default="false")
    expected = fields.String(validate=validate.Regexp(r"^[0-9a-f]{16,64}$", error="invalid"))


class TouchedBooking(Answer):
    number = fields.String()
    post_number = fields.Integer()
    starts_at = moment()
    ends_at = moment()


class ScheduleChange(Answer):
    """Slots that stay, come and go; and the bookings that now lie outside the hours. They stay valid."""

    first_day = fields.Date()
    last_day = fields.Date()
    kept = fields.Integer()
    added = fields.Integer()
    removed = fields.Integer()
    touched_bookings = fields.List(fields.Nested(TouchedBooking))
    fingerprint = fields.String()
    applied = fields.Boolean()


# --- posts


class NewPost(Sent):
    post_number = Whole(required=True, validate=between(1, 999))
    slot_duration = Whole(required=True, metadata={"minimum": 5, "maximum": 480})
    name = Line(validate=at_most(NAME_LENGTH), load_default="")
    description = Line(validate=at_most(DESCRIPTION_LENGTH), load_default="")
    active = Truth(load_default=True)


class PostChange(Sent):
    """What is not named stays as it is."""

    post_number = Whole(validate=between(1, 999))
    slot_duration = Whole(metadata={"minimum": 5, "maximum": 480})
    name = Line(validate=at_most(NAME_LENGTH))
    description = Line(validate=at_most(DESCRIPTION_LENGTH))
    active = Truth()
    car_type_ids = row_ids(least=0, metadata={"description": "Empty: every type of car."})
    service_ids = row_ids(least=0, metadata={"description": "Empty: every service."})
    largest_wheel = Whole(validate=wheels(), allow_none=True)


class Post(Answer):
    post_number = fields.Integer()
    name = fields.String()
    description = fields.String()
    slot_duration = fields.Integer()
    active = fields.Boolean()
    car_type_ids = fields.List(fields.Integer())
    service_ids = fields.List(fields.Integer())
    largest_wheel = fields.Integer(allow_none=True)


class Posts(Paged):
    items = fields.List(fields.Nested(Post))


class PostChanged(Answer):
    post = fields.Nested(Post)
    schedule_change = fields.Nested(ScheduleChange)


# --- hours


class Window(Sent):
    """Local time; later than 24:00 is the next day."""

    opens = fields.String(required=True, validate=validate.Regexp(A_MINUTE_OF_TWO_DAYS, error="invalid"))
    closes = fields.String(required=True, validate=validate.Regexp(A_MINUTE_OF_TWO_DAYS, error="invalid"))


class WeekWindow(Window):
    weekday = Whole(required=True, validate=between(0, 6), metadata={"description": "Monday is 0."})


class NewTemplate(Sent):
    name = Line(required=True, validate=validate.Length(1, NAME_LENGTH, error="out_of_range"))
    windows = fields.List(fields.Nested(WeekWindow), required=True, validate=at_most(70))
    post_number = Whole(validate=between(1, 999), allow_none=True, load_default=None)
    valid_from = ADay(allow_none=True, load_default=None)
    valid_until = ADay(allow_none=True, load_default=None)
    priority = Whole(validate=between(0, 1000), load_default=0)


class ShownWindow(Answer):
    opens = fields.String()
    closes = fields.String()


class ShownWeekWindow(ShownWindow):
    weekday = fields.Integer()


class Template(Answer):
    id = fields.Integer()
    name = fields.String()
    windows = fields.List(fields.Nested(ShownWeekWindow))
    post_number = fields.Integer(allow_none=True)
    valid_from = fields.Date(allow_none=True)
    valid_until = fields.Date(allow_none=True)
    priority = fields.Integer()


class Templates(Paged):
    items = fields.List(fields.Nested(Template))


class TemplateChanged(Answer):
    schedule_template = fields.Nested(Template, allow_none=True)
    schedule_change = fields.Nested(ScheduleChange)


class DayException(Sent):
    """No windows: closed."""

    windows = fields.List(fields.Nested(Window), load_default=list, validate=at_most(10))
    reason = Line(validate=at_most(REASON_LENGTH), load_default="")


class OfPost(DryRun):
    """Of one post; without a number, of the station."""

    post_number = Digits(validate=between(1, 999))


class ShownException(Answer):
    date = fields.Date()
    post_number = fields.Integer(allow_none=True)
    windows = fields.List(fields.Nested(ShownWindow))
    reason = fields.String()


class Exceptions(Paged):
    items = fields.List(fields.Nested(ShownException))


class Generation(Sent):
    days = Whole(validate=between(1, 366))


class Generated(Answer):
    added = fields.Integer()


# --- the day, and bookings


class Card(Answer):
    """A stretch of a post's time that is not free."""

    state = fields.String()
    starts_at = moment()
    ends_at = moment()
    booking = fields.String(allow_none=True, metadata={"description": "The number of the booking."})
    block_id = fields.Integer(allow_none=True)
    reason = fields.String()


class FreeSpan(Answer):
    starts_at = moment()
    ends_at = moment()


class BoardPost(Answer):
    post_number = fields.Integer()
    name = fields.String()
    cards = fields.List(fields.Nested(Card))
    free = fields.List(fields.Nested(FreeSpan))


class BoardAttention(Answer):
    kind = fields.String()
    bookings = fields.List(fields.String())
    minutes = fields.Integer()


class Board(Answer):
    service_point_id = fields.Integer()
    date = fields.Date()
    is_open = fields.Boolean()
    reason = fields.String()
    load_percent = fields.Integer(metadata={"description": "Of the open time, how much is taken."})
    revision = fields.String()
    posts = fields.List(fields.Nested(BoardPost))
    attention = fields.List(fields.Nested(BoardAttention))


class BookingsQuery(Page):
    from_ = ADay(data_key="from")
    to = ADay()
    status = fields.String(validate=one_of(*STATUSES))


class Contacts(Answer):
    """Phone and e-mail are shown to a manager's token alone."""

    name = fields.String()
    phone = fields.String(allow_none=True)
    email = fields.String(allow_none=True)


class StationBooking(Booking):
    source = fields.String()
    version = fields.Integer()
    created_at = moment()
    customer = fields.Nested(Contacts)


class StationBookings(Paged):
    items = fields.List(fields.Nested(StationBooking))


class Transition(Sent):
    event = fields.String(required=True, validate=one_of(*EVENTS))
    version = Whole(
        validate=between(1, LARGEST_ID),
        metadata={"description": "The version that was looked at: another since is refused (409 `booking_changed`)."},
    )


class NewBlock(Sent):
    post_number = Whole(required=True, validate=between(1, 999))
    starts_at = Instant(required=True, metadata={"type": "string", "format": "date-time"})
    ends_at = Instant(required=True, metadata={"type": "string", "format": "date-time"})
    reason = Line(validate=at_most(REASON_LENGTH), load_default="")


class InTheWay(Answer):
    kind = fields.String()
    starts_at = moment()
    ends_at = moment()


class Blocked(Answer):
    """What has been closed; and what stood in the way, which stays as it is."""

    block_ids = fields.List(fields.Integer())
    in_the_way = fields.List(fields.Nested(InTheWay))


class WalkIn(Sent):
    """A car at the gate. Without a post it gets the first place today, or waits in the lane."""

    service_ids = row_ids(required=True)
    car_type_id = row_id(required=True)
    post_number = Whole(validate=between(1, 999))
    starts_at = Instant(metadata={"type": "string", "format": "date-time"})
    plate = fields.String(validate=at_most(PLATE_LENGTH), load_default="")
    phone = fields.String(validate=at_most(PHONE_LENGTH), load_default="")


class WalkedIn(Answer):
    waiting = fields.Boolean()
    booking = fields.Nested(StationBooking, allow_none=True)
