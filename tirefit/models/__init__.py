"""The tables, by area. A station has posts; a post has slots (the offer) and reservations (the truth); a booking has
one reservation while it lives."""

from tirefit.models.audit import AuditEntry, UsageCount
from tirefit.models.bookings import (
    LIVE,
    PROBLEMS,
    SOURCES,
    STATUSES,
    Booking,
    BookingEvent,
    BookingLink,
    BookingService,
    WaitingVisit,
)
from tirefit.models.imports import ImportedRow
from tirefit.models.letters import LetterStop, Notification
from tirefit.models.people import ApiToken, Attempt, Invitation, LoginAttempt, PersonLink, User, UserRole, UserSession
from tirefit.models.schedule import (
    OVERLAP_GUARD,
    ExceptionWindow,
    Reservation,
    ScheduleException,
    ScheduleRun,
    ScheduleSlot,
    ScheduleTemplate,
    ScheduleWindow,
    overlap_guard_is_there,
)
from tirefit.models.services import (
    CarType,
    Service,
    ServiceCategory,
    ServiceDuration,
    ServicePointService,
    ServicePrice,
    WheelSurcharge,
)
from tirefit.models.stations import (
    BayDevice,
    BoardRevision,
    CalendarFeed,
    PostCarType,
    PostService,
    ServicePoint,
    ServicePost,
)
from tirefit.models.words import BookingWord

__all__ = [
    "LIVE",
    "OVERLAP_GUARD",
    "PROBLEMS",
    "SOURCES",
    "STATUSES",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "BayDevice",
    "BoardRevision",
    "Booking",
    "BookingEvent",
    "BookingLink",
    "BookingService",
    "BookingWord",
    "CalendarFeed",
    "CarType",
    "ExceptionWindow",
    "ImportedRow",
    "Invitation",
    "LetterStop",
    "LoginAttempt",
    "Notification",
    "PersonLink",
    "PostCarType",
    "PostService",
    "Reservation",
    "ScheduleException",
    "ScheduleRun",
    "ScheduleSlot",
    "ScheduleTemplate",
    "ScheduleWindow",
    "Service",
    "ServiceCategory",
    "ServiceDuration",
    "ServicePoint",
    "ServicePointService",
    "ServicePost",
    "ServicePrice",
    "UsageCount",
    "User",
    "UserRole",
    "UserSession",
    "WaitingVisit",
    "WheelSurcharge",
    "overlap_guard_is_there",
]
