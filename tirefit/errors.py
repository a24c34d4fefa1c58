"""What can go wrong in the domain. Each error knows its code, its HTTP status and its facts.

None knows its wording: words per code live in templates/errors/_problems.html and the catalogues.
"""

from typing import Any


class Problem(Exception):
    """A refusal that the user can understand and act on. `facts` fill the words and the API's answer."""

    code = "problem"
    status = 400

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.code)
        self.facts = facts


class SlotTaken(Problem):
    """Somebody was quicker: the time is reserved by another. The answer offers other times."""

    code = "slot_taken"
    status = 409


class SlotNotOffered(Problem):
    """No post offers that time: the station is closed then, or the post does not work online."""

    code = "slot_not_offered"
    status = 409


class TimeMatchesNoSlot(Problem):
    """The station is open at that time, but no slot of any post begins then."""

    code = "time_matches_no_slot"
    status = 409


class PostCannotTakeIt(Problem):
    """The station is open then, but no post that is takes such a car, such a service or such a wheel."""

    code = "post_cannot_take_it"
    status = 409


class ScheduleChanged(Problem):
    """Between the preview and the button somebody booked, or changed the schedule.

    `facts["difference"]` is the new one.
    """

    code = "schedule_changed"
    status = 409


class ServicesChanged(Problem):
    """Somebody has changed the same minutes or prices meanwhile. `facts["cells"]` says what they are now."""

    code = "services_changed"
    status = 409


class RunOutdated(Problem):
    """What the run changed has been changed again since (or was undone already): it cannot simply be undone."""

    code = "run_outdated"
    status = 409


class ServicesDoNotFit(Problem):
    """A slot begins at that time, but the free time after it is too short for the services."""

    code = "services_do_not_fit"
    status = 422


class InThePast(Problem):
    """The time asked for has already begun."""

    code = "in_the_past"
    status = 422


class TooSoon(Problem):
    """The station wants more notice than that (`lead_minutes`)."""

    code = "too_soon"
    status = 422


class BeyondHorizon(Problem):
    """The station does not take bookings that far ahead (`horizon_days`)."""

    code = "beyond_horizon"
    status = 422


class HoldExpired(Problem):
    """The hold is over, and somebody else has taken its time (or it was released)."""

    code = "hold_expired"
    status = 409


class LimitReached(Problem):
    """One contact or browser keeps as many times as the station allows."""

    code = "limit_reached"
    status = 409


class UnknownService(Problem):
    """A service that the station does not offer, or not for this car."""

    code = "unknown_service"
    status = 422


class UnknownCarType(Problem):
    code = "unknown_car_type"
    status = 422


class WrongTransition(Problem):
    """The booking is not in a state from which this is possible."""

    code = "wrong_transition"
    status = 409


class TooLateToChange(Problem):
    """The customer's own changes end `cancel_cutoff_minutes` before the start; by phone it still works."""

    code = "too_late_to_change"
    status = 409


class StillNeeded(Problem):
    """A visit that is still ahead cannot be forgotten: the station would not know whom to expect."""

    code = "still_needed"
    status = 409


class BookingChanged(Problem):
    """Somebody else has changed the booking since it was looked at. Nothing was changed; it is shown as it is now."""

    code = "booking_changed"
    status = 409


class UndoExpired(Problem):
    """A tap can be taken back for ten minutes; after that it stands, and other steps correct it."""

    code = "undo_expired"
    status = 409


class KeyReused(Problem):
    """The key of a request that was answered before came with another content. `facts["number"]` is what came of it."""

    code = "key_reused"
    status = 422


class LateMinutesOutOfRange(Problem):
    """Late by 10, 20 or 30 minutes can be said; whoever comes later needs another time."""

    code = "late_minutes_out_of_range"
    status = 422


class PostNumberTaken(Problem):
    code = "post_number_taken"
    status = 409


class PostHasBookings(Problem):
    """The post has future bookings; it cannot simply be switched off."""

    code = "post_has_bookings"
    status = 409


class PostHasHistory(Problem):
    """Somebody was booked on the post: it stays in the books. It can be switched off."""

    code = "post_has_history"
    status = 409


class SlotDurationOutOfRange(Problem):
    code = "slot_duration_out_of_range"
    status = 422


class WindowsInvalid(Problem):
    """Opening windows of one day overlap, or one ends before it begins."""

    code = "windows_invalid"
    status = 422


class WrongCredentials(Problem):
    """E-mail and password do not belong together; which of them is wrong is nobody's business."""

    code = "wrong_credentials"
    status = 422


class WrongCode(Problem):
    """No post waits for a tablet with this code: it was mistyped, used, or is older than ten minutes."""

    code = "wrong_code"
    status = 422


class SecondCodeWrong(Problem):
    """Not the code of these 30 seconds, one that has been used, or no recovery code of this person's."""

    code = "second_code_wrong"
    status = 422


class SignInTooOld(Problem):
    """The password was given too long ago, or the sign-in has been finished: it begins anew."""

    code = "sign_in_too_old"
    status = 410


class SecondStepDemanded(Problem):
    """The person's role asks for a second step: it can be moved to another phone, and not turned off."""

    code = "second_step_demanded"
    status = 409


class EmailTaken(Problem):
    """Somebody has an account with that address already."""

    code = "email_taken"
    status = 409


class EmailInvalid(Problem):
    """No letter could be sent there."""

    code = "email_invalid"
    status = 422


class PasswordUnfit(Problem):
    """Too short to be safe, or longer than anybody types."""

    code = "password_unfit"
    status = 422


class PasswordGuessable(Problem):
    """Whoever guesses passwords tries it among the first."""

    code = "password_guessable"
    status = 422


class LastAdmin(Problem):
    """Somebody must be left who may do everything: the last admin stays one."""

    code = "last_admin"
    status = 409


class NotYours(Problem):
    """Who gives somebody rights has them: a manager makes no admins, and changes none."""

    code = "not_yours"
    status = 403


class InvitationGone(Problem):
    """The invitation was used, taken back, or is older than it may be."""

    code = "invitation_gone"
    status = 410


class ResetGone(Problem):
    """The link to a new password was used, or is older than an hour."""

    code = "reset_gone"
    status = 410


class AlreadyFounded(Problem):
    """The installation has people already: new ones are invited by them."""

    code = "already_founded"
    status = 409


class SettingsChanged(Problem):
    """Somebody else has saved the station's settings meanwhile. `facts["now"]` holds what is kept now."""

    code = "settings_changed"
    status = 409


class UnknownStation(Problem):
    """A role needs the stations it is for, and all of them must exist."""

    code = "unknown_station"
    status = 422


class UnknownPerson(Problem):
    """Nobody has an account with that address, or it has been closed."""

    code = "unknown_person"
    status = 422


class OriginInvalid(Problem):
    """That is no address of a site: it has a scheme and a host, https://shop.example."""

    code = "origin_invalid"
    status = 422


class WebhookUrlInvalid(Problem):
    """That is no address that can be told of events: https://, a host, no name and password in it."""

    code = "webhook_url_invalid"
    status = 422


class TooManyEndpoints(Problem):
    """A station has as many webhooks as it may. `facts["most"]` says how many."""

    code = "too_many_endpoints"
    status = 409


class TooManyRequests(Problem):
    """More questions in a minute than one network (or one token) has. `facts["retry_after"]` is in seconds."""

    code = "too_many_requests"
    status = 429


class TooManyAttempts(Problem):
    """Too many failed sign-ins or requests in a short time. `facts["retry_after"]` is in seconds."""

    code = "too_many_attempts"
    status = 429


class OnlyByLink(TooManyAttempts):
    """Wrong passwords of one account have been tried all day. A link to a new password lets its owner in at once."""

    code = "only_by_link"


class OutOfReach(Problem):
    """The database is away, full or closed for writing. Nothing was changed; it may work again in a while."""

    code = "out_of_reach"
    status = 503


class Busy(Problem):
    """The database could not be written within the time a person waits. Nothing was changed."""

    code = "busy"
    status = 503
