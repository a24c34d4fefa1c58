"""The screen of a post: who may see it, what it shows, what a tap does."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests import factories
from tests.factories import BORIS, booking, kyiv, sign_in
from tirefit import bays
from tirefit.bays import CODE_LENGTH, CODE_SIGNS, load_screen, offer_code
from tirefit.booking.at_the_gate import book_walk_in, extend_visit, report_problem
from tirefit.booking.commands import Customer, reschedule_booking
from tirefit.booking.steps import cancel_booking, report_late, transition_booking, undo_transition
from tirefit.database import command, db
from tirefit.errors import BookingChanged, WrongTransition
from tirefit.models import PROBLEMS, BayDevice, Booking, BookingEvent, ServicePost
from tirefit.schedule.blocks import block_time
from tirefit.schedule.changes import close_day, save_template
from tirefit.schedule.reservations import hash_of, new_token, reserve_slot_temporarily

URL = "/bay/zimnyaya-5/2"


@pytest.fixture
def post(station):
    """Post 2, of forty minutes."""
    return station.posts[1]


@pytest.fixture
def tablet(app, post):
    """The browser of a tablet that is paired with post 2."""
    return paired(app.test_client(), post)


def paired(client, post):
    answer = client.post("/bay", data={"code": offer_code(post.id)})
    assert answer.status_code == 303
    return client


def screen_of(post):
    db.session.rollback()
    db.session.expire_all()
    return load_screen(db.session.get_one(ServicePost, post.id))


def tap(client, action="transition", page=None, **fields):
    """Press the button that the page has for this; what is named wins over what the form says."""
    page = page or client.get(URL).text
    forms = re.findall(r'<form method="post" action="([^"]+)">(.*?)</form>', page, re.DOTALL)
    for url, form in forms:
        sent = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        if url.endswith(f"/{action}") and all(sent.get(name) == value for name, value in fields.items()):
            return client.post(url, data=sent)
    raise AssertionError(f"no button for {action} {fields}: {[url for url, _ in forms]}")


def words(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body")[2])).replace("\xa0", " ")


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


# --- pairing


def test_a_code_makes_a_tablet_the_screen_of_its_post_and_is_used_up(app, client, post):
    code = offer_code(post.id)
    assert len(code) == CODE_LENGTH
    assert set(code) <= set(CODE_SIGNS)

    answer = client.post("/bay", data={"code": f" {code[:3].lower()} {code[3:]} "})

    assert answer.status_code == 303
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie  # nobody here said HTTPS
    assert client.get("/bay").location == URL
    assert "Пост 2" in client.get(URL).text
    device = db.session.scalars(select(BayDevice)).one()
    token = client.get_cookie("tirefit-bay").value
    assert (device.token_hash, device.code_hash) == (hash_of(token), None)
    again = app.test_client().post("/bay", data={"code": code})
    assert (again.status_code, "Код не подходит" in again.text) == (422, True)


def test_over_https_the_cookie_is_secure(app, client, post, monkeypatch):
    monkeypatch.setitem(app.config, "HTTPS", True)

    cookie = client.post("/bay", data={"code": offer_code(post.id)}, base_url="https://localhost").headers["Set-Cookie"]

    assert cookie.startswith("__Host-tirefit-bay=")
    assert "Secure" in cookie


def test_a_cyrillic_keyboard_will_do(client, post, monkeypatch):
    monkeypatch.setattr(bays, "_new_code", lambda: "ABCEHK")
    offer_code(post.id)

    assert client.post("/bay", data={"code": "авсенк"}).status_code == 303


def test_a_code_is_good_for_ten_minutes_and_until_the_next_one(client, post, at):
    first, second = offer_code(post.id), offer_code(post.id)
    assert client.post("/bay", data={"code": first}).status_code == 422
    at(kyiv("09:10"))

    assert client.post("/bay", data={"code": second}).status_code == 422
    assert client.get(URL).location == "/bay"


@pytest.mark.parametrize("code", ["", "      ", "x" * 10_000, "\0", "%FF", "12345", "<script>"])
def test_odd_codes_are_wrong_codes(client, post, code):
    offer_code(post.id)

    assert client.post("/bay", data={"code": code}).status_code == 422


def test_codes_cannot_be_guessed_one_after_another(app, post, at):
    """A right code is refused too once a network has tried too often; another network is not in its way."""
    for _ in range(20):
        assert app.test_client().post("/bay", data={"code": "ABCABC"}).status_code == 422
    code = offer_code(post.id)

    refused = app.test_client().post("/bay", data={"code": code})
    elsewhere = app.test_client().post("/bay", data={"code": code}, environ_base={"REMOTE_ADDR": "203.0.113.9"})

    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
    assert elsewhere.status_code == 303
    at(kyiv("09:11"))
    assert app.test_client().post("/bay", data={"code": "ABCABC"}).status_code == 422


def test_a_tablet_reaches_its_own_post_and_nothing_else(tablet, station, olga):
    other = factories.station("letnyaya-7", "Летняя, 7")
    made = booking(station, "10:00", post_number=1)

    for path in ("/bay/zimnyaya-5/1", "/bay/zimnyaya-5/3/now", "/bay/zimnyaya-5/99", f"/bay/{other.slug}/2"):
        assert tablet.get(path).status_code == 404, path
    assert tablet.post(f"/bay/zimnyaya-5/1/bookings/{made.number}/transition").status_code == 404
    assert tablet.get("/board/zimnyaya-5/2026-11-02").location.startswith("/login")
    assert tablet.get("/manage/bays?s=zimnyaya-5").location.startswith("/login")


def test_a_tablet_that_is_cut_off_is_so_at_once(app, tablet, station, olga):
    desk = sign_in(app.test_client(), olga)
    assert tablet.get(URL).status_code == 200
    page = desk.get("/manage/bays?s=zimnyaya-5").text
    url = re.search(r'action="(/manage/bays/\d+/disconnect)"', page)[1]

    assert [desk.post(url).status_code for _ in range(2)] == [303, 303]

    assert tablet.get(URL).location == "/bay"
    assert tablet.get(f"{URL}/now", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/bay"
    assert tablet.post(f"{URL}/fitter").location == "/bay"
    assert "disconnect" not in desk.get("/manage/bays?s=zimnyaya-5").text


def test_the_manager_is_shown_the_code_once(app, client, post, olga):
    desk = sign_in(client, olga)

    page = desk.post(f"/manage/bays/posts/{post.id}/code").text

    code = re.search(r'class="code num">(\w{3}) (\w{3})<', page)
    assert app.test_client().post("/bay", data={"code": code[1] + code[2]}).status_code == 303
    assert 'class="code' not in desk.get("/manage/bays?s=zimnyaya-5").text
    assert "подключён сегодня в 09:00" in words(desk.get("/manage/bays?s=zimnyaya-5").text)


def test_people_of_the_station_see_its_screens_without_a_code(app, client, ivan, stranger, station):
    assert sign_in(client, ivan).get("/bay/zimnyaya-5/3").status_code == 200
    assert sign_in(app.test_client(), stranger).get("/bay/zimnyaya-5/3").status_code == 404
    assert client.get("/bay/zimnyaya-5/4").status_code == 404


def test_a_visit_is_noted_every_five_minutes(tablet, at):
    at(kyiv("09:04"))
    tablet.get(URL)
    assert db.session.scalars(select(BayDevice.last_seen_at)).one() == kyiv("09:00")
    at(kyiv("09:05"))
    tablet.get(URL)
    assert db.session.scalars(select(BayDevice.last_seen_at)).one() == kyiv("09:05")


# --- what it shows


@command
def set_columns(made, **columns):
    found = db.session.get_one(Booking, made.id)
    for name, value in columns.items():
        setattr(found, name, value)


def test_it_shows_the_car_in_work_and_how_far_it_is(station, tablet, at):
    made = booking(station, "12:20", car="suv", post_number=2)  # an hour's work in two slots
    set_columns(made, plate="АА 1234 ВС", notes="Секретка в бардачке", wheel_inches=17)
    at(kyiv("12:20"))
    transition_booking(made.id, "start")
    at(kyiv("12:44"))

    page = tablet.get(URL).text

    for expected in (
        "АА 1234 ВС",
        "Сезонная переобувка",
        "Внедорожник · R17",
        "идёт 24 из 60 мин",
        "закончить к 13:40",
        "Секретка в бардачке",
        "12:44",
    ):
        assert expected in words(page), expected
    assert 'max="60" value="24"' in page


def test_nobodys_name_phone_or_price_is_on_the_wall(station, tablet, olga):
    """Whatever of it is known, in the car that is here and in those that come, with every question opened."""
    secret = Customer("Канарейкина Анна", "+380671230099", "canary@example.com")
    for n, start in enumerate(("09:00", "09:40", "11:00", "12:20")):
        made = booking(station, start, secret, post_number=2)
        notes = "Перезвоните мне: 067 123-00-99 или +38 (067) 1230099"
        set_columns(made, notes=notes, plate="АА 1234 ВС" if n % 2 else "")
        if n == 0:
            transition_booking(made.id, "start", user_id=olga.id)
    factories.user("Иван Секретный", "secret@example.com", "staff", station)
    number = db.session.scalars(select(Booking.number)).all()[1]

    for query in ("", "?ask=problem", "?ask=name", f"?b={number}"):
        page = tablet.get(URL + query).text
        for canary in (
            "Канарейкина",
            "Анна",
            "1230099",
            "123-00-99",
            "0099",
            "canary",
            "1 200",
            "₴",
            "Секретный",
        ):
            assert canary not in page, (query, canary)
        assert "Перезвоните мне: … или …" in page


def test_the_states_of_a_post_without_a_car(station, post, at):
    assert (screen_of(post).state, screen_of(post).until) == ("free", kyiv("18:00"))
    made = booking(station, "14:20", post_number=2)
    assert (screen_of(post).state, screen_of(post).until) == ("free", kyiv("14:20"))
    assert screen_of(post).booking.id == made.id, "whoever comes next grows"
    block_time(station.id, post.id, kyiv("10:00"), kyiv("11:00"), "Подъёмник")
    at(kyiv("10:30"))
    shown = screen_of(post)
    assert (shown.state, shown.until, shown.reason) == ("block", kyiv("11:00"), "Подъёмник")
    at(kyiv("08:00"))
    assert (screen_of(post).state, screen_of(post).until) == ("shut", kyiv("09:00"))
    at(kyiv("19:00"))
    transition_booking(made.id, "no_show")
    assert (screen_of(post).state, screen_of(post).until) == ("shut", kyiv("2026-11-03 09:00"))


def test_a_break_is_one_until_the_post_opens_again(station, post, at):
    week = db.session.scalars(select(factories.ScheduleTemplate.id)).one()
    save_template(station.id, [(0, 540, 780), (0, 840, 1080)], name="С обедом", template_id=week)
    at(kyiv("13:20"))
    assert (screen_of(post).state, screen_of(post).until) == ("break", kyiv("14:00"))
    close_day(station.id, kyiv("14:00").date(), "Праздник")
    assert (screen_of(post).state, screen_of(post).until) == ("shut", None)


def test_time_that_somebody_is_just_booking_is_not_free(station, post, at):
    at(kyiv("09:39"))
    reserve_slot_temporarily(station.id, kyiv("09:40"), 40, new_token())  # only post 2 begins then
    at(kyiv("09:41"))

    assert (screen_of(post).state, screen_of(post).until) == ("held", kyiv("10:20"))


def test_who_stands_at_the_front(station, post, at):
    """Who is in work, else who is here, else whose time it is, else who comes next."""
    first, second, third = (booking(station, start, post_number=2) for start in ("09:00", "09:40", "10:20"))
    at(kyiv("08:50"))
    assert (screen_of(post).state, screen_of(post).booking) == ("shut", None)
    at(kyiv("09:05"))
    assert (screen_of(post).state, screen_of(post).booking.id) == ("waiting", first.id)
    at(kyiv("09:41"))
    assert (screen_of(post).state, screen_of(post).booking.id) == ("waiting", second.id)
    assert [row.booking.id for row in screen_of(post).rows] == [first.id, third.id], "the first may still come"
    transition_booking(third.id, "arrive")
    assert (screen_of(post).state, screen_of(post).booking.id) == ("arrived", third.id)
    transition_booking(second.id, "start")
    assert (screen_of(post).state, screen_of(post).booking.id, screen_of(post).verb) == ("work", second.id, "complete")
    chosen = load_screen(db.session.get_one(ServicePost, post.id), third.number)
    assert (chosen.booking.id, chosen.verb) == (third.id, None), "two cars do not stand on one post"
    transition_booking(second.id, "complete")
    transition_booking(third.id, "start")
    transition_booking(third.id, "complete")
    at(kyiv("17:00"))
    assert (screen_of(post).state, screen_of(post).booking.id) == ("waiting", first.id)


def test_what_comes_next_with_the_free_time_between(station, post, at):
    now = booking(station, "09:00", post_number=2)
    later = [booking(station, start, post_number=2) for start in ("10:20", "11:00", "12:20", "13:00")]
    transition_booking(now.id, "start")

    rows = screen_of(post).rows

    assert [(row.starts_at, row.booking and row.booking.id) for row in rows] == [
        (kyiv("09:40"), None),
        (kyiv("10:20"), later[0].id),
        (kyiv("11:00"), later[1].id),
        (kyiv("11:40"), None),
        (kyiv("12:20"), later[2].id),
    ]


def test_a_walk_in_has_its_place_too(station, tablet):
    service, car = factories.service("Ремонт прокола").id, factories.car_type("car").id
    book_walk_in(station.id, [service], car, post_number=2, starts_at=kyiv("09:00"), token=new_token())

    page = tablet.get(URL).text

    assert "Без записи" in words(page)
    assert answer_of(tap(tablet, page=page)) == "in_progress"


def test_work_past_its_end_is_over_time_until_it_is_said_to_take_longer(station, post, at, tablet):
    made, after = booking(station, "09:00", post_number=2), booking(station, "09:40", BORIS, post_number=2)
    transition_booking(made.id, "start")
    at(kyiv("09:47"))
    assert screen_of(post).state == "over"
    assert "надо было закончить к 09:40" in words(tablet.get(URL).text)
    knock_on = screen_of(post).knock_on
    assert (knock_on.ends_at, knock_on.starts_at, knock_on.delay_minutes) == (kyiv("09:57"), kyiv("09:57"), 17)

    assert tap(tablet, "extend").status_code == 303

    shown = screen_of(post)
    assert (shown.state, shown.ends_at, shown.planned) == ("work", kyiv("09:57"), 57)
    assert [(row.booking.id, row.delay_minutes) for row in shown.rows if row.booking] == [(after.id, 17)]
    assert "начнётся на 17 мин позже" in words(tablet.get(URL).text)


# --- what a tap does


def answer_of(answer):
    assert answer.status_code == 303, answer.text
    db.session.rollback()
    return db.session.scalars(select(Booking.status).order_by(Booking.id)).first()


def test_arrived_start_done_with_one_tap_each_and_the_real_times(station, tablet, at, ivan):
    made = booking(station, "09:40", post_number=2)
    assert "Приехал" in words(tablet.get(URL).text)
    assert 'class="stripe' not in tablet.get(URL).text
    tablet.post(f"{URL}/fitter", data={"user": ivan.id})
    for minute, status, said in (
        ("09:31", "arrived", "Приехал"),
        ("09:42", "in_progress", "В работе"),
        ("10:15", "completed", "Готово"),
    ):
        at(kyiv(minute))
        assert answer_of(tap(tablet)) == status
        assert f"{said}: Легковая Отменить" in words(tablet.get(URL).text)
    found = current(made)
    assert (found.arrived_at, found.started_at, found.completed_at) == (kyiv("09:31"), kyiv("09:42"), kyiv("10:15"))
    assert [event.user_id for event in found.events] == [None, ivan.id, ivan.id, ivan.id]
    assert [event.actor for event in found.events][1:] == ["user"] * 3


def test_nobody_came(station, tablet, at):
    made = booking(station, "09:40", post_number=2)
    assert "no_show" not in tablet.get(URL).text
    at(kyiv("09:55"))
    assert "Ждём с 09:40" in words(tablet.get(URL).text)

    assert answer_of(tap(tablet, event="no_show")) == "no_show"
    assert answer_of(tap(tablet, "undo")) == "confirmed"
    assert events_of(made) == ["created", "no_show", "undo"]


def test_whoever_said_they_are_late_is_waited_for_in_words(station, tablet, at):
    made = booking(station, "09:40", post_number=2)
    report_late(made.id, 20)
    at(kyiv("09:50"))

    assert "опоздает на 20 мин" in words(tablet.get(URL).text)


def test_the_last_tap_is_taken_back_until_the_next_one_or_for_ten_minutes(station, tablet, at):
    made = booking(station, "09:00", post_number=2)
    tap(tablet)
    assert answer_of(tap(tablet, "undo")) == "confirmed"
    tap(tablet)
    tap(tablet)
    page = tablet.get(URL).text
    assert page.count("/undo") == 1
    assert "В работе: Легковая" in words(page)
    at(kyiv("09:11"))
    assert "/undo" not in tablet.get(URL).text
    assert current(made).status == "in_progress"


def test_a_stale_tap_is_told_so_on_the_same_screen_and_changes_nothing(station, tablet, post):
    made = booking(station, "09:00", post_number=2)
    page = tablet.get(URL).text
    reschedule_booking(made.id, actor="user", starts_at=kyiv("09:40"), post_number=2)

    answer = tap(tablet, page=page)

    assert answer.status_code == 409
    assert "Эту запись только что изменили" in words(answer.text)
    assert 'id="bay"' in answer.text
    assert current(made).status == "confirmed"
    assert answer_of(tap(tablet, page=answer.text)) == "arrived", "the same screen goes on with what is now"


def test_a_booking_that_went_to_another_post_is_not_this_posts_to_change(station, tablet):
    made = booking(station, "09:00", post_number=2)
    page = tablet.get(URL).text
    reschedule_booking(made.id, actor="user", post_number=3)

    assert tap(tablet, page=page).status_code == 409
    assert current(made).status == "confirmed"
    assert made.number not in tablet.get(URL).text


def test_the_same_tap_twice_is_one(station, tablet):
    made = booking(station, "09:00", post_number=2)
    for action, fields in (("transition", {}), ("transition", {}), ("extend", {}), ("problem", {"problem": "no_part"})):
        page = tablet.get(f"{URL}?ask=problem" if action == "problem" else URL).text
        assert [tap(tablet, action, page, **fields).status_code for _ in range(2)] == [303, 303], action
    assert events_of(made) == ["created", "arrive", "start", "extended", "problem"]
    assert [tap(tablet, "problem", tablet.get(URL).text, problem="").status_code] == [303]
    assert current(made).problem == ""


def test_a_problem_is_told_in_one_tap_of_four_and_stays_on_the_screen(station, tablet, post):
    booking(station, "09:00", post_number=2)
    page = tablet.get(f"{URL}?ask=problem").text
    assert re.findall(r'name="problem" value="(\w+)"', page) == list(PROBLEMS)

    tap(tablet, "problem", page, problem="another_post")

    assert "Проблема: нужен другой пост" in words(tablet.get(URL).text)
    assert screen_of(post).booking.problem == "another_post"


def test_the_board_hears_of_a_problem(app, station, tablet, olga):
    made = booking(station, "09:00", post_number=2)
    tap(tablet, "problem", tablet.get(f"{URL}?ask=problem").text, problem="no_part")
    desk = sign_in(app.test_client(), olga)

    assert "Проблема: нет запчасти" in words(desk.get("/board/zimnyaya-5/2026-11-02").text)
    assert "проблема, станция" in words(desk.get(f"/board/zimnyaya-5/2026-11-02?b={made.number}").text)
    transition_booking(made.id, "start")
    assert "Проблема:" not in words(desk.get("/board/zimnyaya-5/2026-11-02").text)


@pytest.mark.parametrize("problem", ["", "hunger", "x" * 9999, "\0"])
def test_problems_that_are_none_change_nothing(station, tablet, problem):
    made = booking(station, "09:00", post_number=2)

    answer = tablet.post(f"{URL}/bookings/{made.number}/problem", data={"problem": problem})

    assert answer.status_code == (303 if problem == "" else 409)
    assert events_of(made) == ["created"]


def test_what_is_not_a_bays_to_do_is_refused(station, tablet):
    made = booking(station, "09:00", post_number=2)
    for event in ("cancel_by_station", "complete", "x" * 9999, ""):
        assert tablet.post(f"{URL}/bookings/{made.number}/transition", data={"event": event}).status_code == 409
    assert tablet.post(f"{URL}/bookings/NOBODY/transition", data={"event": "arrive"}).status_code == 404
    assert tablet.post(f"{URL}/bookings/%00/undo").status_code == 404
    assert current(made).status == "confirmed"


@pytest.mark.parametrize("user", ["", "999", "x", "\0"])
def test_a_name_that_is_nobodys_is_not_kept(station, tablet, user, stranger, olga):
    for odd in (user, str(stranger.id)):
        tablet.post(f"{URL}/fitter", data={"user": odd})
        booking(station, "09:00" if odd == user else "10:20", post_number=2)
    tap(tablet)

    assert db.session.scalars(select(BookingEvent.user_id).where(BookingEvent.event == "arrive")).one() is None


def test_a_person_who_is_signed_in_signs_for_the_tap(app, station, ivan, olga):
    booking(station, "09:00", post_number=2)
    client = sign_in(app.test_client(), ivan)
    tap(client)
    client.post(f"{URL}/fitter", data={"user": olga.id})
    tap(client)

    who = db.session.scalars(select(BookingEvent.user_id).order_by(BookingEvent.id)).all()
    assert who == [None, ivan.id, olga.id]
    assert "Ольга" in words(client.get(URL).text)


# --- live


def poll(client, page):
    url = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    return client.get(url, headers={"HX-Request": "true"})


def test_the_unchanged_screen_costs_one_statement_and_no_body(station, tablet, statements):
    booking(station, "09:00", post_number=2)
    page = tablet.get(URL).text

    with statements() as seen:
        answer = poll(tablet, page)

    assert (answer.status_code, answer.data) == (304, b"")
    assert len(seen) <= 2, seen


def test_a_screen_hears_of_everything_that_changes_it(station, tablet, post, at):
    made = booking(station, "10:20", post_number=2)

    def changes():
        yield "a tap at the board", lambda: transition_booking(made.id, "arrive")
        yield "a new booking", lambda: booking(station, "11:00", post_number=2)
        yield "a problem", lambda: report_problem(made.id, "no_part")
        yield "time that is closed", lambda: block_time(station.id, post.id, kyiv("15:00"), kyiv("16:00"))
        yield "a day off", lambda: close_day(station.id, kyiv("10:00").date(), "Праздник")
        yield "another minute", lambda: at(kyiv("09:01"))

    page = tablet.get(URL).text
    for what, change in changes():
        assert poll(tablet, page).status_code == 304, what
        change()
        answer = poll(tablet, page)
        assert answer.status_code == 200, what
        assert answer.text.lstrip().startswith('<div id="bay"'), "only what changes"
        page = tablet.get(URL).text


def test_the_question_that_is_open_stays_open_while_the_screen_asks(station, tablet, at):
    _, after = (booking(station, start, post_number=2) for start in ("09:00", "09:40"))
    for minute, query in enumerate(("?ask=problem", "?ask=name", f"?b={after.number}"), start=1):
        page = tablet.get(URL + query).text
        at(kyiv("09:00") + timedelta(minutes=minute))
        fresh = poll(tablet, page).text
        assert ("Что случилось?" in fresh, f"{after.number}/transition" in fresh) == (
            query == "?ask=problem",
            query.startswith("?b="),
        )


def test_the_address_of_the_poll_is_a_page_for_a_person(tablet):
    assert tablet.get(f"{URL}/now").text.lstrip().startswith("<!doctype")


def test_a_screen_is_made_with_few_statements(station, tablet, statements):
    for n in range(12):
        start = kyiv("09:00") + timedelta(minutes=40 * n)
        booking(station, start, Customer(f"Клиент {n}", f"+3806712345{n:02d}"), post_number=2)
    tablet.get(URL)

    with statements() as seen:
        page = tablet.get(URL)

    assert len(seen) <= 12, seen
    assert len(page.data) < 20_000


@pytest.mark.parametrize("language", ["ru", "uk", "en"])
def test_it_speaks_the_stations_language_or_the_one_that_was_chosen(app, language):
    point = factories.station("tri-movy", "Три мови", locale=language)
    tablet = paired(app.test_client(), point.posts[1])

    page = tablet.get("/bay/tri-movy/2").text

    assert f'<html lang="{language}"' in page
