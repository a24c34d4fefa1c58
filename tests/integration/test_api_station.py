"""The API as a station's own programs use it: posts, hours, the day; and whose token opens what."""

import pytest
from sqlalchemy import func, select

from tests.factories import ANNA, booking, car_type, service, sign_in, user
from tirefit import answers, tokens
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking
from tirefit.database import command, db
from tirefit.errors import UnknownPerson, UnknownStation
from tirefit.models import (
    AnsweredRequest,
    ApiToken,
    Booking,
    Reservation,
    ScheduleTemplate,
    ServicePost,
    User,
    WaitingVisit,
)

MONDAY = "2026-11-02"


class Program:
    """A program with a token, at one station."""

    def __init__(self, client, station, token):
        self.client, self.token = client, token
        self.home = f"/api/v1/service_points/{station.id}"

    def __getattr__(self, method):
        def ask(path, **kwargs):
            headers = {"Authorization": f"Bearer {self.token}"} | kwargs.pop("headers", {})
            return getattr(self.client, method)(self.home + path, headers=headers, **kwargs)

        return ask


@pytest.fixture
def managers(client, station, olga) -> Program:
    return Program(client, station, tokens.add_token(olga.email))


@pytest.fixture
def staffs(client, station, ivan) -> Program:
    return Program(client, station, tokens.add_token(ivan.email, role="staff"))


# --- whose token opens what


def test_a_token_opens_what_its_owner_may_and_no_more(client, station, managers, staffs, stranger):
    foreign = Program(client, station, tokens.add_token(stranger.email))
    nothing = Program(client, station, "tf_" + "x" * 22)
    admin = user("Админ", "admin@example.com", "admin")
    limited = Program(client, station, tokens.add_token(admin.email, "staff", station.slug))

    assert [program.get("/posts").status_code for program in (managers, staffs, limited, foreign, nothing)] == [
        *(200, 200, 200, 404, 401)
    ]
    new = {"post_number": 9, "slot_duration": 30}
    answers = [each.post("/posts?dry_run=true", json=new) for each in (managers, staffs, limited)]
    assert [answer.status_code for answer in answers] == [200, 403, 403]
    assert answers[1].json["code"] == "forbidden"
    refused = client.get(f"{managers.home}/posts")
    assert (refused.status_code, refused.json["code"]) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_no_cookie_stands_in_for_a_token(client, station, olga):
    sign_in(client, olga)

    assert client.get(f"/api/v1/service_points/{station.id}/posts").status_code == 401


def test_a_token_dies_when_it_is_revoked_and_with_its_owners_rights(app, station, managers, olga):
    in_hand = tokens.make_token(olga.id, station.id, "manager", name="касса")
    program = Program(app.test_client(), station, in_hand)
    assert program.get("/posts").status_code == 200
    token = db.session.scalars(select(ApiToken).where(ApiToken.name == "касса")).one()
    assert in_hand not in repr(db.session.execute(select(ApiToken.__table__)).all())  # only its hash is kept
    assert tokens.revoke_token(token.id, station.id) and not tokens.revoke_token(token.id, station.id)
    assert program.get("/posts").status_code == 401

    @command
    def leave():
        db.session.get_one(User, olga.id).active = False

    leave()
    assert managers.get("/posts").status_code == 401


def test_a_token_is_made_at_the_command_line_and_shown_once(app, station, olga):
    run = app.test_cli_runner().invoke
    made = run(args=["token", "add", "olga@example.com", "--station", station.slug, "--name", "сайт"])

    assert made.exit_code == 0 and made.output.startswith("tf_")
    assert tokens.bearer_of(made.output.strip()).role_at(station.id) == "manager"
    assert run(args=["token", "add", "nobody@example.com"]).exit_code == 1
    assert run(args=["token", "add", "olga@example.com", "--station", "letnyaya-7"]).exit_code == 1
    with pytest.raises(UnknownPerson):
        tokens.add_token("nobody@example.com")
    with pytest.raises(UnknownStation):
        tokens.add_token("olga@example.com", station="nowhere")


# --- posts


def test_a_post_is_previewed_added_changed_and_switched_off(managers, station):
    new = {"post_number": 4, "slot_duration": 60, "name": "Большой"}
    shown = managers.post("/posts?dry_run=true", json=new)
    assert (shown.status_code, shown.json["schedule_change"]["applied"]) == (200, False)
    assert managers.get("/posts/4").status_code == 404
    made = managers.post("/posts", json=new)
    assert made.status_code == 201
    assert made.json["schedule_change"]["added"] == shown.json["schedule_change"]["added"] > 0
    assert managers.post("/posts", json=new).json["code"] == "post_number_taken"

    later = managers.patch("/posts/4?dry_run=true", json={"slot_duration": 45, "car_type_ids": [car_type().id]})
    done = managers.patch(
        f"/posts/4?expected={later.json['schedule_change']['fingerprint']}",
        json={"slot_duration": 45, "car_type_ids": [car_type().id]},
    )
    counts = ("kept", "added", "removed")
    assert [done.json["schedule_change"][name] for name in counts] == [
        later.json["schedule_change"][name] for name in counts
    ]
    assert done.json["post"] == managers.get("/posts/4").json
    assert (done.json["post"]["slot_duration"], done.json["post"]["name"]) == (45, "Большой")

    off = managers.delete("/posts/4")
    assert (off.status_code, off.json["post"]["active"], off.json["schedule_change"]["kept"]) == (200, False, 0)
    listed = managers.get("/posts?per_page=3&page=2").json
    assert (listed["total"], [post["post_number"] for post in listed["items"]]) == (4, [4])


def test_a_post_that_people_have_booked_is_not_switched_off(managers, station):
    made = booking(station, "12:00")
    number = db.session.get_one(ServicePost, made.service_post_id).post_number

    refused = managers.delete(f"/posts/{number}")

    assert (refused.status_code, refused.json["code"]) == (409, "post_has_bookings")
    assert refused.json["reserved_times"] == ["2026-11-02T12:00:00+02:00"]
    too_short = managers.patch(f"/posts/{number}", json={"slot_duration": 4})
    assert (too_short.json["code"], too_short.json["errors"][0]["pointer"]) == (
        "slot_duration_out_of_range",
        "#/slot_duration",
    )


def test_a_change_that_is_no_longer_what_was_shown_is_refused(managers, station):
    shown = managers.patch("/posts/1?dry_run=true", json={"slot_duration": 20}).json["schedule_change"]
    booking(station, "12:00", services=("Балансировка",))

    refused = managers.patch(f"/posts/1?expected={shown['fingerprint']}", json={"slot_duration": 20})

    assert (refused.status_code, refused.json["code"]) == (409, "schedule_changed")
    assert managers.get("/posts/1").json["slot_duration"] == 30


# --- hours


def test_a_season_is_previewed_added_replaced_and_taken_away(managers, station):
    made = booking(station, "2026-11-03 16:00")
    windows = [{"weekday": day, "opens": "09:00", "closes": "15:00"} for day in range(6)]
    season = {"name": "Осень", "windows": windows, "valid_from": "2026-11-03", "valid_until": "2026-11-30"}
    shown = managers.post("/schedule_templates?dry_run=true", json=season).json["schedule_change"]
    assert [each["number"] for each in shown["touched_bookings"]] == [made.number]
    saved = managers.post("/schedule_templates", json=season)
    assert saved.status_code == 201 and saved.json["schedule_change"]["removed"] == shown["removed"]
    template = saved.json["schedule_template"]
    assert template["windows"][0] == {"weekday": 0, "opens": "09:00", "closes": "15:00"}
    own = f"/schedule_templates/{template['id']}"
    late = season | {"name": "Ночь", "windows": [{"weekday": 2, "opens": "20:00", "closes": "26:00"}]}
    assert managers.put(own, json=late).json["schedule_template"]["windows"][0]["closes"] == "26:00"
    crossed = managers.put(own, json=late | {"windows": [{"weekday": 2, "opens": "20:00", "closes": "08:00"}]})
    assert (crossed.status_code, crossed.json["code"]) == (422, "windows_invalid")
    assert managers.get(own).json["name"] == "Ночь"
    assert managers.get("/schedule_templates").json["total"] == 2
    assert managers.delete(own).json["schedule_template"] is None
    assert managers.get(own).status_code == 404


def test_a_day_is_closed_opened_at_other_hours_and_as_its_weekday_again(managers, client, station):
    day = "/schedule_exceptions/2026-11-04"
    working = f"/api/v1/service_points/{station.id}/availability/2026-11-04"
    assert managers.put(f"{day}?dry_run=true", json={}).json["applied"] is False
    assert managers.put(day, json={"reason": "учёба"}).json["kept"] > 0
    assert client.get(working).json["is_working_day"] is False
    assert managers.get(day).json["reason"] == "учёба"
    managers.put(day, json={"windows": [{"opens": "10:00", "closes": "11:00"}]})
    assert [time["time"] for time in client.get(working).json["times"]] == ["10:00", "10:30"]
    managers.put(f"{day}?post_number=2", json={})
    assert managers.get(f"{day}?post_number=2").json["post_number"] == 2
    assert managers.get("/schedule_exceptions").json["total"] == 2
    assert managers.delete(day).status_code == 200
    assert managers.delete(day).status_code == 404
    assert managers.get(f"{day}?post_number=7").status_code == 404


def test_days_ahead_are_opened_once(managers):
    assert managers.post("/schedule/generate", json={"days": 20}).json["added"] > 0
    assert managers.post("/schedule/generate", json={"days": 20}).json == {"added": 0}


# --- the same request, sent twice


def made_of(model) -> int:
    return db.session.scalar(select(func.count()).select_from(model))


@pytest.mark.parametrize(
    ("path", "sent", "other", "model"),
    [
        ("/posts", {"post_number": 4, "slot_duration": 60}, {"name": "x"}, ServicePost),
        (
            "/schedule_templates",
            {"name": "Осень", "windows": [{"weekday": 1, "opens": "09:00", "closes": "15:00"}]},
            {"name": "Зима"},
            ScheduleTemplate,
        ),
        (
            "/blocks",
            {"post_number": 1, "starts_at": "2026-11-02T15:00:00+02:00", "ends_at": "2026-11-02T16:00:00+02:00"},
            {"reason": "x"},
            Reservation,
        ),
    ],
)
def test_what_a_request_makes_it_makes_once(managers, staffs, path, sent, other, model, at, monkeypatch):
    key = {"Idempotency-Key": "8d7c1f0e-2f2b-4c79-b0c7"}
    before = made_of(model)
    first = managers.post(path, json=sent, headers=key)
    again = managers.post(path, json=dict(reversed(sent.items())), headers=key)

    assert (first.status_code, again.status_code) == (201, 201) and first.json == again.json
    assert made_of(model) == before + 1
    refused = managers.post(path, json=sent | other, headers=key)
    assert (refused.status_code, refused.json["code"]) == (422, "key_reused")
    assert managers.post(path, json=sent, headers={"Idempotency-Key": "short"}).status_code == 422
    # One that was quicker at the very same moment: what it did is found when ours has failed.
    unseen, find = [None], answers.find
    monkeypatch.setattr(answers, "find", lambda name: unseen.pop() if unseen else find(name))
    assert managers.post(path, json=sent, headers=key).json == first.json
    assert made_of(model) == before + 1
    if path == "/blocks":  # the same key of somebody else is another key
        assert staffs.post(path, json=sent, headers=key).json["block_ids"] == []
    at("2026-11-03 09:01")
    assert answers.sweep() >= 1
    assert made_of(AnsweredRequest) == 0


def test_an_answer_that_cannot_be_kept_leaves_nothing_behind(managers, station, monkeypatch):
    def fail(*_args):
        raise RuntimeError("the power goes")

    monkeypatch.setattr(answers, "keep", fail)
    with pytest.raises(RuntimeError):
        managers.post(
            "/posts",
            json={"post_number": 4, "slot_duration": 60},
            headers={"Idempotency-Key": "8d7c1f0e-2f2b-4c79-b0c7"},
        )
    assert [post.post_number for post in db.session.scalars(select(ServicePost))] == [1, 2, 3]


# --- the day and its bookings


def test_the_board_and_the_list_show_a_booking_and_move_it_on(managers, staffs, station, at):
    made = booking(station, "10:00")
    board = staffs.get(f"/board/{MONDAY}").json
    cards = [card for post in board["posts"] for card in post["cards"]]
    assert [card["state"] for card in cards if card["booking"] == made.number] == ["booked"]
    assert staffs.get(f"/bookings?from={MONDAY}&to={MONDAY}&status=confirmed").json["total"] == 1
    assert staffs.get("/bookings?from=2026-11-03").json["total"] == 0
    assert staffs.get(f"/bookings/{made.number}").json == staffs.get("/bookings").json["items"][0]
    assert staffs.get("/bookings").json["items"][0]["customer"] == {"name": "Анна", "phone": None, "email": None}
    assert managers.get("/bookings").json["items"][0]["customer"]["phone"] == ANNA.phone

    own = f"/bookings/{made.number}/transition"
    arrived = staffs.post(own, json={"event": "arrive", "version": 1})
    assert (arrived.status_code, arrived.json["status"], arrived.json["version"]) == (200, "arrived", 2)
    assert staffs.post(own, json={"event": "start", "version": 1}).json["code"] == "booking_changed"
    assert staffs.post(own, json={"event": "complete"}).json["code"] == "wrong_transition"
    assert staffs.post(own, json={"event": "undo"}).json["status"] == "confirmed"
    staffs.post(own, json={"event": "arrive"})
    at("09:11")
    assert staffs.post(own, json={"event": "undo"}).json["code"] == "undo_expired"
    assert staffs.post(own, json={"event": "cancel_by_station"}).json["status"] == "cancelled_by_station"
    assert staffs.post(own, json={"event": "restore_by_station"}).json["status"] == "arrived"
    assert staffs.post(own, json={"event": "cancel_by_customer"}).status_code == 422
    assert db.session.get_one(Booking, made.id, populate_existing=True).events[-1].user_id is not None


def test_closed_time_cancels_nothing(staffs, station):
    booking(station, "10:00", services=("Балансировка",))
    hours = {"starts_at": "2026-11-02T09:30:00+02:00", "ends_at": "2026-11-02T12:00:00+02:00"}

    closed = staffs.post("/blocks", json=hours | {"post_number": 1, "reason": "компрессор"})

    assert closed.status_code == 201 and len(closed.json["block_ids"]) == 2
    assert [each["kind"] for each in closed.json["in_the_way"]] == ["booking"]
    assert staffs.delete(f"/blocks/{closed.json['block_ids'][0]}").status_code == 204
    assert staffs.delete(f"/blocks/{closed.json['block_ids'][0]}").status_code == 404
    assert staffs.post("/blocks", json=hours | {"post_number": 9}).json["errors"][0]["pointer"] == "#/post_number"
    backwards = {"starts_at": hours["ends_at"], "ends_at": hours["starts_at"], "post_number": 1}
    assert staffs.post("/blocks", json=backwards).json["errors"][0]["pointer"] == "#/ends_at"


def test_a_car_at_the_gate_gets_a_place_or_waits(staffs, station):
    car = {"service_ids": [service().id], "car_type_id": car_type().id, "plate": "AA 1234 BC"}
    key = {"Idempotency-Key": "gate-2026-11-02-0001"}
    taken = [staffs.post("/walk_ins", json=car, headers=key).json["booking"] for _ in range(2)]
    assert taken[0]["status"] == "arrived" and taken[0] == taken[1]
    named = staffs.post("/walk_ins", json=car | {"post_number": taken[0]["post_number"]})
    assert (named.status_code, named.json["code"]) == (409, "slot_taken")
    for post in (1, 2, 3):
        hours = {"starts_at": "2026-11-02T09:00:00+02:00", "ends_at": "2026-11-02T18:00:00+02:00"}
        staffs.post("/blocks", json=hours | {"post_number": post})
    assert staffs.post("/walk_ins", json=car).json == {"waiting": True, "booking": None}
    assert db.session.scalars(select(WaitingVisit)).one().plate == "AA 1234 BC"


def test_nothing_of_another_station_is_found_through_ones_own(client, station, managers, stranger):
    other = db.session.get_one(ServicePost, station.posts[0].id)
    made = booking(station, "10:00")
    foreign = Program(client, station, tokens.add_token(stranger.email))
    foreign.home = f"/api/v1/service_points/{stranger.roles[0].service_point_id}"

    assert foreign.get("/posts/3").status_code == 404
    assert foreign.post(f"/bookings/{made.number}/transition", json={"event": "arrive"}).status_code == 404
    assert (
        foreign.get(f"/schedule_templates/{managers.get('/schedule_templates').json['items'][0]['id']}").status_code
        == 404
    )
    assert foreign.delete(f"/blocks/{other.id}").status_code == 404
    cancel_booking(made.id, actor=USER)
