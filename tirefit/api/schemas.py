"""What customers' programs send and get: stations, services, free times, holds, bookings."""

from marshmallow import fields, validate

from tirefit.api.fields import (
    ADay,
    Answer,
    Asked,
    Digits,
    Instant,
    Line,
    Sent,
    Truth,
    Whole,
    asked_id,
    asked_ids,
    at_most,
    between,
    moment,
    one_of,
    row_id,
    row_ids,
)
from tirefit.booking.durations import LARGEST_WHEEL, SMALLEST_WHEEL
from tirefit.booking.steps import CANCEL_REASONS
from tirefit.i18n import LANGUAGES
from tirefit.models import STATUSES
from tirefit.schedule.availability import MOST_DAYS
from tirefit.web.forms.text import EMAIL_LENGTH, NAME_LENGTH, PHONE_LENGTH, PLATE_LENGTH

MOST_ON_A_PAGE = 200
NOTES_LENGTH = 500
LONGEST_JOB = 1440  # minutes
A_WALL_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
A_TOKEN = r"^[A-Za-z0-9_-]{22}$"  # noqa: S105 (what one looks like)


def wheels() -> validate.Range:
    return between(SMALLEST_WHEEL, LARGEST_WHEEL)


# --- pages of lists


class Page(Asked):
    page = Digits(load_default=1, validate=between(1, 10_000))
    per_page = Digits(load_default=50, validate=between(1, MOST_ON_A_PAGE))


class Paged(Answer):
    page = fields.Integer()
    per_page = fields.Integer()
    total = fields.Integer()


# --- catalogue


class Names(Answer):
    """The words in each language; one that is missing is written in another."""

    ru = fields.String(metadata={"always": False})
    uk = fields.String(metadata={"always": False})
    en = fields.String(metadata={"always": False})


class CarType(Answer):
    id = fields.Integer()
    code = fields.String()
    names = fields.Nested(Names)


class CarTypes(Paged):
    items = fields.List(fields.Nested(CarType))


class ServicePoint(Answer):
    id = fields.Integer()
    slug = fields.String()
    name = fields.String()
    city = fields.String()
    address = fields.String()
    phone = fields.String()
    time_zone = fields.String()
    currency = fields.String()
    hold_minutes = fields.Integer()
    lead_minutes = fields.Integer()
    horizon_days = fields.Integer()
    cancel_cutoff_minutes = fields.Integer()
    active_posts = fields.Integer(metadata={"description": "Posts are counted; there is no number to be set."})
    booking_url = fields.String(metadata={"format": "uri"})


class ServicePoints(Paged):
    items = fields.List(fields.Nested(ServicePoint))


class OnCar(Answer):
    car_type_id = fields.Integer()
    minutes = fields.Integer()
    price = fields.Integer(metadata={"description": "In minor units of `currency`."})


class OfferedService(Answer):
    id = fields.Integer()
    names = fields.Nested(Names)
    descriptions = fields.Nested(Names)
    on_car_types = fields.List(fields.Nested(OnCar))


class WheelSurcharge(Answer):
    """Wheels of this size and larger take so many minutes more."""

    from_inches = fields.Integer()
    minutes = fields.Integer()


class OfferedServices(Paged):
    currency = fields.String()
    wheel_surcharges = fields.List(fields.Nested(WheelSurcharge))
    items = fields.List(fields.Nested(OfferedService))


# --- what is free


class Job(Asked):
    """Services and a car, or minutes; neither: one slot of whatever length the post has."""

    service_ids = asked_ids(metadata={"description": "Ids of services, with commas between them."})
    car_type_id = asked_id()
    wheel_inches = Digits(validate=wheels())
    duration_minutes = Digits(validate=between(1, LONGEST_JOB))


class JobOverDays(Job):
    from_ = ADay(data_key="from", required=True)
    days = Digits(load_default=14, validate=between(1, MOST_DAYS))


class Time(Answer):
    time = fields.String(metadata={"description": "What the station's clock shows."})
    starts_at = moment()
    ends_at = moment()
    available_posts = fields.Integer()
    recommended_post = fields.Integer()
    waste_minutes = fields.Integer()


class AvailableDay(Answer):
    service_point_id = fields.Integer()
    date = fields.Date()
    time_zone = fields.String()
    is_working_day = fields.Boolean()
    required_minutes = fields.Integer(allow_none=True)
    times = fields.List(fields.Nested(Time))


class DayInShort(Answer):
    date = fields.Date()
    is_working_day = fields.Boolean()
    available_starts = fields.Integer()
    first_available = fields.String(allow_none=True, metadata={"format": "date-time"})


class AvailableDays(Answer):
    service_point_id = fields.Integer()
    time_zone = fields.String()
    required_minutes = fields.Integer(allow_none=True)
    days = fields.List(fields.Nested(DayInShort))


class Slot(Answer):
    starts_at = moment()
    ends_at = moment()
    status = fields.String(validate=one_of("free", "held", "booked", "blocked", "walk_in", "past"))


class PostDay(Answer):
    post_number = fields.Integer()
    name = fields.String()
    slot_duration = fields.Integer()
    slots = fields.List(fields.Nested(Slot))
    next_available_at = fields.String(
        allow_none=True, metadata={"format": "date-time", "description": "The soonest start of the job on this day."}
    )


class TimeInShort(Answer):
    time = fields.String()
    starts_at = moment()
    available_posts_count = fields.Integer()


class DayByPosts(Answer):
    service_point_id = fields.Integer()
    date = fields.Date()
    time_zone = fields.String()
    is_working_day = fields.Boolean()
    required_minutes = fields.Integer(allow_none=True)
    posts = fields.List(fields.Nested(PostDay))
    times = fields.List(fields.Nested(TimeInShort))


class DayOfPost(PostDay):
    service_point_id = fields.Integer()
    date = fields.Date()
    time_zone = fields.String()
    required_minutes = fields.Integer(allow_none=True)


# --- holds


class NewReservation(Sent):
    service_point_id = row_id(required=True)
    starts_at = Instant(required=True, metadata={"type": "string", "format": "date-time"})
    service_ids = row_ids(required=True)
    car_type_id = row_id(required=True)
    wheel_inches = Whole(validate=wheels())
    post_number = Whole(validate=between(1, 999))


class Reservation(Answer):
    token = fields.String()
    service_point_id = fields.Integer()
    post_number = fields.Integer()
    starts_at = moment()
    ends_at = moment()
    expires_at = moment()
    may_be_extended = fields.Boolean()


# --- bookings


class Check(Sent):
    service_point_id = row_id(required=True)
    starts_at = Instant(required=True, metadata={"type": "string", "format": "date-time"})
    service_ids = row_ids(required=True)
    car_type_id = row_id(required=True)
    wheel_inches = Whole(validate=wheels())
    preferred_post = Whole(validate=between(1, 999))


class PostAnswer(Answer):
    post_number = fields.Integer()
    available = fields.Boolean()
    reason = fields.String(allow_none=True)
    waste_minutes = fields.Integer(allow_none=True)
    efficiency = fields.Float(allow_none=True, metadata={"description": "Required minutes of the occupied ones, 0…1."})
    next_available_at = fields.String(allow_none=True, metadata={"format": "date-time"})


class Checked(Answer):
    available = fields.Boolean()
    required_minutes = fields.Integer()
    available_posts = fields.List(fields.Integer())
    recommended_post = fields.Integer(allow_none=True)
    post_details = fields.List(fields.Nested(PostAnswer))
    suggested_times = fields.List(fields.Nested(Time))


class Work(Sent):
    service_ids = row_ids(required=True)
    car_type_id = row_id(required=True)
    wheel_inches = Whole(validate=wheels())
    service_point_id = row_id()
    post_number = Whole(validate=between(1, 999))


class ServiceMinutes(Answer):
    service_id = fields.Integer()
    names = fields.Nested(Names)
    minutes = fields.Integer()
    price = fields.Integer(allow_none=True)


class OnPost(Answer):
    post_number = fields.Integer()
    slot_duration = fields.Integer()
    slots = fields.Integer()
    occupied_minutes = fields.Integer()
    waste_minutes = fields.Integer()
    efficiency = fields.Float()


class Duration(Answer):
    total_duration = fields.Integer()
    wheel_minutes = fields.Integer()
    service_durations = fields.List(fields.Nested(ServiceMinutes))
    total_price = fields.Integer(allow_none=True)
    currency = fields.String(allow_none=True)
    post = fields.Nested(OnPost, allow_none=True)


class Wish(Asked):
    service_point_id = asked_id(required=True)
    date = ADay(required=True)
    service_ids = asked_ids(required=True)
    car_type_id = asked_id(required=True)
    wheel_inches = Digits(validate=wheels())
    preferred_time = fields.String(validate=validate.Regexp(A_WALL_TIME, error="invalid"))


class Recommendation(Answer):
    time = fields.String()
    starts_at = moment()
    ends_at = moment()
    post_number = fields.Integer()
    waste_minutes = fields.Integer()
    efficiency = fields.Float()


class Recommendations(Answer):
    required_minutes = fields.Integer()
    recommendations = fields.List(fields.Nested(Recommendation))
    alternative_times = fields.List(fields.Nested(Time))


class Customer(Sent):
    name = fields.String(required=True, validate=at_most(NAME_LENGTH))
    phone = fields.String(required=True, validate=at_most(PHONE_LENGTH))
    email = fields.String(validate=at_most(EMAIL_LENGTH), allow_none=True, load_default=None)


class NewBooking(Sent):
    """A hold that becomes a booking (`reservation_token`), or a time that is booked at once (station and start)."""

    reservation_token = fields.String(validate=validate.Regexp(A_TOKEN, error="invalid"))
    service_point_id = row_id()
    starts_at = Instant(metadata={"type": "string", "format": "date-time"})
    post_number = Whole(validate=between(1, 999))
    service_ids = row_ids(required=True)
    car_type_id = row_id(required=True)
    wheel_inches = Whole(validate=wheels())
    customer = fields.Nested(Customer, required=True)
    plate = fields.String(validate=at_most(PLATE_LENGTH), load_default="")
    notes = Line(validate=at_most(NOTES_LENGTH), load_default="")
    locale = fields.String(validate=one_of(*LANGUAGES))
    consent = Truth(
        required=True,
        metadata={
            "description": "Has the customer agreed to what your program asks for beyond the booking? A booking itself"
            " needs no consent: false books too. Of true the moment is kept."
        },
    )


class BookedService(Answer):
    service_id = fields.Integer()
    names = fields.Nested(Names)
    minutes = fields.Integer()
    price = fields.Integer()


class Booking(Answer):
    number = fields.String()
    status = fields.String(validate=one_of(*STATUSES))
    service_point_id = fields.Integer()
    post_number = fields.Integer()
    starts_at = moment()
    ends_at = moment()
    car_type_id = fields.Integer()
    wheel_inches = fields.Integer(allow_none=True)
    services = fields.List(fields.Nested(BookedService))
    total_duration = fields.Integer()
    total_price = fields.Integer()
    currency = fields.String()
    plate = fields.String()
    notes = fields.String()
    may_change_until = fields.String(
        allow_none=True, metadata={"format": "date-time", "description": "null: no change of the customer's any more."}
    )


class OwnBooking(Booking):
    token = fields.String(metadata={"description": "Whoever has it may see, move and cancel the booking."})
    manage_url = fields.String(metadata={"format": "uri"})


class Cancelling(Sent):
    reason = fields.String(validate=one_of(*CANCEL_REASONS))


class Rescheduling(Sent):
    starts_at = Instant(required=True, metadata={"type": "string", "format": "date-time"})
    post_number = Whole(validate=between(1, 999))
