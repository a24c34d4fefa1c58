"""Who may call what: every route says so, and every route keeps to it, whoever knocks."""

import re
from datetime import date

import pytest
from flask import Flask, url_for
from sqlalchemy import select

from tests import factories
from tests.checksum import checksum
from tests.conftest import ON_ONE_DATABASE
from tests.factories import booking, car_type, kyiv, service, sign_in
from tirefit import accounts, bays, create_app, feeds, tokens
from tirefit.booking.at_the_gate import let_wait
from tirefit.booking.links import renew_link
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking
from tirefit.database import command, db
from tirefit.models import (
    BayDevice,
    Booking,
    ImportedRow,
    Notification,
    ScheduleTemplate,
    ServicePoint,
    ServicePost,
    UserRole,
)
from tirefit.people import invitation_of, invite
from tirefit.schedule import changes
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.web import policy
from tirefit.webhooks.endpoints import add_endpoint, last_deliveries, send_test
from tirefit.webhooks.outbox import EVENTS

PEOPLE, MANAGERS = "people of the station", "its managers"
ADMINS = "admins of the network"
ADMINS_ANYWHERE = "admins, wherever they are"
ANYBODY_HERE = "whoever is signed in, anywhere"
AT_THE_BAY = "the tablet of the post, and people of the station"
WATCHERS = "a monitoring system with the installation's token"
TOKENS = "programs with a token of the station"  # whose token opens what: test_api_station.py

# Every route that is not open to the world or to whoever has a customer's link.
CLOSED = {
    "board.today": PEOPLE,
    "board.show": PEOPLE,
    "board.transition": PEOPLE,
    "board.cancel": PEOPLE,
    "board.undo": PEOPLE,
    "board.restore": PEOPLE,
    "board.move": PEOPLE,
    "board.grid": PEOPLE,
    "board.phone": PEOPLE,
    "board.delay": PEOPLE,
    "gate.walk_in": PEOPLE,
    "gate.leave": PEOPLE,
    "gate.close_time": PEOPLE,
    "gate.open_time": PEOPLE,
    "manage.posts": MANAGERS,
    "manage.new_post": MANAGERS,
    "manage.create_post": MANAGERS,
    "manage.preview_new_post": MANAGERS,
    "manage.post": MANAGERS,
    "manage.save_post": MANAGERS,
    "manage.preview_post": MANAGERS,
    "manage.create_first_posts": MANAGERS,
    "manage.set_lengths": MANAGERS,
    "manage.retire_post": MANAGERS,
    "posts.move": MANAGERS,
    "posts.ask": MANAGERS,
    "posts.delete": MANAGERS,
    "manage.templates": MANAGERS,
    "manage.holidays": MANAGERS,
    "manage.preview_holidays": MANAGERS,
    "manage.close_on_holidays": MANAGERS,
    "manage.new_template": MANAGERS,
    "manage.create_template": MANAGERS,
    "manage.preview_new_template": MANAGERS,
    "manage.template": MANAGERS,
    "manage.save_template": MANAGERS,
    "manage.delete_template": MANAGERS,
    "manage.preview_template": MANAGERS,
    "desk.bookings": MANAGERS,
    "desk.as_csv": MANAGERS,
    "desk.as_xlsx": MANAGERS,
    "desk.new_booking": MANAGERS,
    "desk.book": MANAGERS,
    "desk.card": MANAGERS,
    "desk.cancel": MANAGERS,
    "services.show": MANAGERS,
    "services.save": MANAGERS,
    "services.save_cell": MANAGERS,
    "services.starter": MANAGERS,
    "services.add": MANAGERS,
    "services.service": MANAGERS,
    "services.change": MANAGERS,
    "services.move": MANAGERS,
    "services.group": MANAGERS,
    "services.change_group": MANAGERS,
    "services.move_group": MANAGERS,
    "services.drop": MANAGERS,
    "services.add_car_type": MANAGERS,
    "plans.exceptions": MANAGERS,
    "plans.preview_exceptions": MANAGERS,
    "plans.save_exceptions": MANAGERS,
    "plans.as_usual": MANAGERS,
    "plans.make_as_usual": MANAGERS,
    "plans.history": MANAGERS,
    "plans.undo": MANAGERS,
    "bay.show": AT_THE_BAY,
    "bay.now": AT_THE_BAY,
    "bay.transition": AT_THE_BAY,
    "bay.undo": AT_THE_BAY,
    "bay.extend": AT_THE_BAY,
    "bay.problem": AT_THE_BAY,
    "bay.fitter": AT_THE_BAY,
    "api_posts.list_posts": TOKENS,
    "api_posts.create_post": TOKENS,
    "api_posts.get_post": TOKENS,
    "api_posts.update_post": TOKENS,
    "api_posts.delete_post": TOKENS,
    "api_schedule.list_templates": TOKENS,
    "api_schedule.create_template": TOKENS,
    "api_schedule.get_template": TOKENS,
    "api_schedule.replace_template": TOKENS,
    "api_schedule.delete_template": TOKENS,
    "api_schedule.list_exceptions": TOKENS,
    "api_schedule.get_exception": TOKENS,
    "api_schedule.put_exception": TOKENS,
    "api_schedule.delete_exception": TOKENS,
    "api_schedule.generate": TOKENS,
    "api_day.get_board": TOKENS,
    "api_day.list_bookings": TOKENS,
    "api_day.get_station_booking": TOKENS,
    "api_day.transition": TOKENS,
    "api_day.create_block": TOKENS,
    "api_day.delete_block": TOKENS,
    "api_day.take_in": TOKENS,
    "moved_in.show": MANAGERS,
    "moved_in.settle": MANAGERS,
    "programs.show": MANAGERS,
    "programs.make_token": MANAGERS,
    "programs.revoke_token": MANAGERS,
    "programs.save_sites": MANAGERS,
    "programs.make_feed": MANAGERS,
    "programs.revoke_feed": MANAGERS,
    "webhooks.show": MANAGERS,
    "webhooks.add": MANAGERS,
    "webhooks.change": MANAGERS,
    "webhooks.renew_secret": MANAGERS,
    "webhooks.send_test": MANAGERS,
    "webhooks.resend": MANAGERS,
    "webhooks.remove": MANAGERS,
    "tablets.devices": MANAGERS,
    "tablets.offer": MANAGERS,
    "tablets.disconnect": MANAGERS,
    "letters.show": MANAGERS,
    "letters.resend": MANAGERS,
    "letters.preview": MANAGERS,
    "letters.preview_html": MANAGERS,
    "letters.send_sample": MANAGERS,
    "operations.mail": ADMINS_ANYWHERE,
    "operations.try_mail": ADMINS_ANYWHERE,
    "operations.queue": ADMINS_ANYWHERE,
    "operations.change_job": ADMINS_ANYWHERE,
    "journal.show": MANAGERS,
    "journal.table": MANAGERS,
    "staff.show": MANAGERS,
    "staff.invite": MANAGERS,
    "staff.withdraw": MANAGERS,
    "staff.set_role": MANAGERS,
    "staff.set_active": MANAGERS,
    "staff.end_session": ADMINS,
    "staff.reset_second_step": ADMINS,
    "staff.demand_second_step": ADMINS,
    "settings.first": MANAGERS,
    "settings.show": MANAGERS,
    "settings.save": MANAGERS,
    "erasing.ask": MANAGERS,
    "erasing.look": MANAGERS,
    "erasing.forget": MANAGERS,
    "reports.show": MANAGERS,
    "reports.table": MANAGERS,
    "setup.new_station": ADMINS_ANYWHERE,
    "setup.add_station": ADMINS_ANYWHERE,
    "setup.posts": MANAGERS,
    "setup.set_posts": MANAGERS,
    "setup.hours": MANAGERS,
    "setup.set_hours": MANAGERS,
    "setup.services": MANAGERS,
    "setup.open_for_booking": MANAGERS,
    "setup.done": MANAGERS,
    "setup.poster": MANAGERS,
    "setup.code": MANAGERS,
    "metrics.show": WATCHERS,
    "account.mine": ANYBODY_HERE,
    "account.change_password": ANYBODY_HERE,
    "account.end_session": ANYBODY_HERE,
    "second_step.show": ANYBODY_HERE,
    "second_step.picture": ANYBODY_HERE,
    "second_step.begin": ANYBODY_HERE,
    "second_step.confirm": ANYBODY_HERE,
    "second_step.renew_codes": ANYBODY_HERE,
    "second_step.turn_off": ANYBODY_HERE,
}
SEEN = {"user_sessions.last_seen_at", "users.last_seen_at"}
OPEN_POLICIES = {policy.anybody, policy.whoever_has_the_link, policy.whoever_has_the_key}

SIGN_IN, A_CODE, GOES_ON = "asked to sign in", "asked for a code", "goes on"
EXPECTED = {
    "nobody": {
        ADMINS_ANYWHERE: SIGN_IN,
        ADMINS: SIGN_IN,
        ANYBODY_HERE: SIGN_IN,
        PEOPLE: SIGN_IN,
        MANAGERS: SIGN_IN,
        AT_THE_BAY: A_CODE,
    },
    "staff": {
        ADMINS_ANYWHERE: 403,
        ADMINS: 403,
        ANYBODY_HERE: GOES_ON,
        PEOPLE: GOES_ON,
        MANAGERS: 403,
        AT_THE_BAY: GOES_ON,
    },
    "manager": {
        ADMINS_ANYWHERE: 403,
        ADMINS: 403,
        ANYBODY_HERE: GOES_ON,
        PEOPLE: GOES_ON,
        MANAGERS: GOES_ON,
        AT_THE_BAY: GOES_ON,
    },
    "staff elsewhere": {
        ADMINS_ANYWHERE: 403,
        ADMINS: 404,
        ANYBODY_HERE: GOES_ON,
        PEOPLE: 404,
        MANAGERS: 404,
        AT_THE_BAY: 404,
    },
    "manager elsewhere": {
        ADMINS_ANYWHERE: 403,
        ADMINS: 404,
        ANYBODY_HERE: GOES_ON,
        PEOPLE: 404,
        MANAGERS: 404,
        AT_THE_BAY: 404,
    },
    "admin": {
        ADMINS_ANYWHERE: GOES_ON,
        ADMINS: GOES_ON,
        ANYBODY_HERE: GOES_ON,
        PEOPLE: GOES_ON,
        MANAGERS: GOES_ON,
        AT_THE_BAY: GOES_ON,
    },
    "tablet": {
        ADMINS_ANYWHERE: SIGN_IN,
        ADMINS: SIGN_IN,
        ANYBODY_HERE: SIGN_IN,
        PEOPLE: SIGN_IN,
        MANAGERS: SIGN_IN,
        AT_THE_BAY: GOES_ON,
    },
    "tablet of another post": {
        ADMINS_ANYWHERE: SIGN_IN,
        ADMINS: SIGN_IN,
        ANYBODY_HERE: SIGN_IN,
        PEOPLE: SIGN_IN,
        MANAGERS: SIGN_IN,
        AT_THE_BAY: 404,
    },
    "tablet elsewhere": {
        ADMINS_ANYWHERE: SIGN_IN,
        ADMINS: SIGN_IN,
        ANYBODY_HERE: SIGN_IN,
        PEOPLE: SIGN_IN,
        MANAGERS: SIGN_IN,
        AT_THE_BAY: 404,
    },
}
for expected in EXPECTED.values():
    expected[TOKENS] = 401  # a cookie is none
    expected[WATCHERS] = 404


@pytest.fixture
def elsewhere(stranger):
    """«Летняя, 7», the stranger's station."""
    return db.session.get_one(ServicePoint, stranger.roles[0].service_point_id)


@pytest.fixture
def people(station, olga, ivan, stranger, elsewhere):
    return {
        "staff": ivan,
        "manager": olga,
        "staff elsewhere": factories.user("Подмастерье", "apprentice@example.com", "staff", elsewhere),
        "manager elsewhere": stranger,
        "admin": factories.user("Админ", "admin@example.com", "admin"),
        "tablet": station.posts[0],
        "tablet of another post": station.posts[2],
        "tablet elsewhere": elsewhere.posts[0],
    }


def waiting(station):
    return let_wait(station.id, [service().id], car_type().id, nonce=new_token()).id


def told(endpoint) -> int:
    send_test(endpoint.id)
    return last_deliveries(endpoint)[0].id


def a_tablet_of(post) -> BayDevice:
    bays.pair(bays.offer_code(post.id), "192.0.2.1")
    return db.session.scalars(select(BayDevice).order_by(BayDevice.id.desc())).first()


@pytest.fixture
def things(station):
    """What stands in addresses: all of it belongs to «Зимняя, 5»."""
    wanted = {"service_ids": [service().id], "car_type_id": car_type().id}
    held = reserve_slot_temporarily(station.id, kyiv("10:00"), 40, new_token(), wanted=wanted)
    token = new_token()
    boss = factories.user("Начальник", "boss@example.com", "manager", station)
    fitter = factories.user("Мастер", "fitter@example.com", "staff", station)
    return {
        "boss": boss.id,
        "slug": station.slug,
        "s": station.slug,
        "day": date(2026, 11, 2),
        "number": booking(station, "12:00", token=token).number,
        "post_id": station.posts[0].id,
        "template_id": db.session.scalars(
            select(ScheduleTemplate.id).where(ScheduleTemplate.service_point_id == station.id)
        ).one(),
        "token": token,
        "waiting_id": waiting(station),
        "reservation_id": block_time(station.id, station.posts[0].id, kyiv("16:00"), kyiv("17:00")).reservation_ids[0],
        "post_number": station.posts[0].post_number,
        "name": "load",
        "section": "station",
        "user_id": fitter.id,
        "invitation_id": invitation_of(invite("new@example.com", "staff", station.id, by=boss.id)).id,
        "device_id": a_tablet_of(station.posts[1]).id,
        "service_id": service().id,
        "category_id": service().category_id,
        "car_type_id": car_type().id,
        "run_id": changes.close_day(station.id, date(2026, 11, 12)).run_id,
        "key": "1",
        "service_point_id": station.id,
        "block_id": 1,
        "token_id": 1,
        "row_id": 1,
        "feed_id": 1,
        "endpoint_id": (endpoint := add_endpoint(station.id, "https://crm.example", EVENTS, new_token())).id,
        "delivery_id": told(endpoint),
        "date": date(2026, 11, 2),
        "filename": "tirefit.css",
        "hold": held.token,
    }


def rules(app: Flask):
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]


def policy_of(app: Flask, endpoint: str):
    with app.test_request_context():
        return policy.policy_of(endpoint)


def address(app: Flask, endpoint: str, things: dict, method: str) -> str:
    """With a thing for every part; the station of `?s=` where the address itself names nothing."""
    rule = next(rule for rule in rules(app) if rule.endpoint == endpoint and method in rule.methods)
    parts = {name: things[name] for name in rule.arguments}
    if endpoint.startswith(("board", "manage", "tablets")) and not {"slug", "post_id", "template_id"} & set(parts):
        parts["s"] = things["s"]
    with app.test_request_context():
        return url_for(endpoint, _method=method, **parts)


def ask(app: Flask, user, endpoint: str, things: dict):
    client = app.test_client()
    if isinstance(user, ServicePost):
        client.set_cookie("tirefit-bay", bays.pair(bays.offer_code(user.id), new_token()))
    elif user:
        sign_in(client, user)
    takes = next(rule.methods for rule in rules(app) if rule.endpoint == endpoint)
    method = next(method for method in ("POST", "PUT", "PATCH", "DELETE", "GET") if method in takes)
    answer = client.open(address(app, endpoint, things, method), method=method)
    if answer.status_code in (302, 303) and answer.location.startswith("/login"):
        return SIGN_IN
    if answer.status_code in (302, 303) and answer.location == "/bay":
        return A_CODE
    return answer.status_code if answer.status_code in (401, 403, 404, 405, 500) else GOES_ON


@ON_ONE_DATABASE
def test_every_route_declares_who_may_call_it(app):
    silent = [rule.endpoint for rule in rules(app) if policy_of(app, rule.endpoint) is None]
    closed = {rule.endpoint for rule in rules(app) if policy_of(app, rule.endpoint) not in OPEN_POLICIES}

    assert not silent
    assert closed == set(CLOSED), "say in this file who may call a new route"


def test_a_route_that_forgot_to_say_is_refused_to_everybody(tmp_path, new_database):
    app = create_app(TESTING=True, INSTANCE_PATH=str(tmp_path), DATABASE_URL=new_database("sqlite"))
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")

    answer = app.test_client().get("/forgotten")

    assert answer.status_code == 403
    assert "secret" not in answer.text


@ON_ONE_DATABASE
@pytest.mark.parametrize("caller", EXPECTED)
def test_each_route_keeps_to_its_policy(app, people, things, caller):
    user = people.get(caller)

    found = {endpoint: ask(app, user, endpoint, things) for endpoint in CLOSED}

    assert found == {endpoint: EXPECTED[caller][who] for endpoint, who in CLOSED.items()}


@ON_ONE_DATABASE
@pytest.mark.parametrize("caller", ["manager elsewhere", "staff elsewhere"])
def test_a_thing_of_another_station_is_not_found_through_ones_own(app, people, things, elsewhere, caller):
    client = sign_in(app.test_client(), people[caller])
    own, number = elsewhere.slug, things["number"]

    assert client.get(f"/board/{own}/2026-11-02").status_code == 200
    assert client.get(f"/board/{own}/2026-11-02?b={number}").status_code == 404
    for change in ("transition", "cancel"):
        assert client.post(f"/board/{own}/bookings/{number}/{change}", data={"event": "arrive"}).status_code == 404
    assert db.session.scalars(select(Booking.status)).one() == "confirmed"


@command
def moved_in_with_a_clash(point_id: int) -> int:
    row = ImportedRow(kind="bookings", old_id="7", state="clash", reason="overlap", service_point_id=point_id)
    db.session.add(row)
    db.session.flush()
    return row.id


# Of the whole network; a station says minutes and prices of its own, which are its own rows.
SHARED = {"service_id", "category_id", "car_type_id", "section", "day", "name"}


@ON_ONE_DATABASE
def test_under_ones_own_station_nothing_of_another_is_found_and_nothing_changes(app, people, things, elsewhere):
    """Each route whose address names a second thing, and each form that does."""
    theirs = db.session.scalars(select(ServicePoint).where(ServicePoint.slug == things["slug"])).one()
    tokens.make_token(things["boss"], theirs.id, "staff", name="CRM")
    feeds.make_feed(theirs.id)
    things |= {
        "token_id": tokens.of_station(theirs)[0].id,
        "feed_id": feeds.of_station(theirs)[0].id,
        "row_id": moved_in_with_a_clash(theirs.id),
    }
    letter = db.session.scalars(select(Notification.id).where(Notification.service_point_id == theirs.id)).first()
    client = sign_in(app.test_client(), people["manager elsewhere"])
    own = things | {"slug": elsewhere.slug, "s": elsewhere.slug, "post_number": elsewhere.posts[0].post_number}
    form = {"event": "arrive", "do": "up", "role": "staff", "name": "Имя", "url": "https://a.example"}
    before, asked = checksum(without=SEEN), 0
    for rule in rules(app):
        who, named = CLOSED.get(rule.endpoint), rule.arguments - SHARED - {"slug", "post_number"}
        if not named or who not in (PEOPLE, MANAGERS, ADMINS, AT_THE_BAY):
            continue
        for method in rule.methods & {"GET", "POST"}:
            answer = client.open(address(app, rule.endpoint, own, method), method=method, data=form)
            told = rule.endpoint, method, answer.status_code
            assert answer.status_code in ({404, 303} if method == "POST" else {404}) | (
                {403} if who == ADMINS else set()
            ), told
            asked += 1
        assert checksum(without=SEEN) == before, rule.endpoint
    for path, sent, status in (
        (f"/manage/{elsewhere.slug}/notifications/resend", {"letter": letter}, 404),
        (f"/bay/{elsewhere.slug}/{own['post_number']}/fitter", {"user": things["user_id"]}, 303),
        ("/account/sessions/end", {"session": accounts.hash_of("x")}, 303),
    ):
        assert client.post(path, data=sent).status_code == status, path
        assert checksum(without=SEEN) == before, path
    assert asked > 40


@ON_ONE_DATABASE
def test_whichever_view_breaks_its_page_tells_nothing_from_behind_the_scenes(app, things, monkeypatch, caplog):
    """Nor does the log tell where exactly it was asked: a token, a name, or a second line that somebody made up."""
    inside = "SELECT bookings.customer_phone FROM bookings WHERE customer_name = 'Канарейка' -- +380671234567"

    def breaks(**_: object) -> str:
        raise RuntimeError(inside)

    breaks.policy = policy.anybody
    monkeypatch.setattr(app, "testing", False)
    client, broken = app.test_client(), 0
    client.looks = False  # it is the same page each time
    for rule in rules(app):
        if rule.endpoint.startswith("dev."):
            continue  # there is none but in a demo
        method = next(method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if method in rule.methods)
        url = address(app, rule.endpoint, things | {"number": "K7M4QX"}, method)
        with monkeypatch.context() as patch:
            patch.setitem(app.view_functions, rule.endpoint, breaks)
            answer = client.open(url.replace("K7M4QX", "K7M4%0aX") if "/board/" in url else url, method=method)
        said = caplog.records[-1]
        assert answer.status_code == 500 and said.name == "tirefit", rule.endpoint
        told = f"{answer.text} {said.getMessage()}"
        assert not re.search(r"Traceback|SELECT|RuntimeError|Канарейка|0671234567|tirefit/web|\.py\b", told), (
            rule.endpoint
        )
        assert said.getMessage().splitlines() == [f"failure {said.args[0]}: {method} {rule.rule}"]
        assert said.args[0] in told and things["token"] not in said.getMessage()
        broken += 1
    assert broken > 200


def test_a_manager_of_one_station_and_staff_of_another_is_each_where_they_are(app, station, olga, elsewhere):
    @command
    def hire():
        db.session.add(UserRole(user_id=olga.id, service_point_id=elsewhere.id, role="staff"))

    hire()
    db.session.expire_all()
    client = sign_in(app.test_client(), olga)

    assert client.get(f"/manage/posts?s={station.slug}").status_code == 200
    assert client.get(f"/board?s={elsewhere.slug}").status_code == 302
    assert client.get(f"/manage/posts?s={elsewhere.slug}").status_code == 403
    assert "Посты и расписание" not in client.get(f"/board/{elsewhere.slug}/2026-11-02").text


def test_htmx_is_sent_to_the_sign_in_page_whole(client, station):
    answer = client.get(f"/board/{station.slug}/2026-11-02", headers={"HX-Request": "true"})

    assert answer.headers["HX-Redirect"] == "/login"


@ON_ONE_DATABASE
@pytest.mark.parametrize("caller", ["customer", "staff", "manager", "admin"])
def test_no_get_changes_anything(app, people, things, caller, at):
    """But the note when a session was seen last, which tells nobody anything and is made every five minutes at most."""
    client, tokens = app.test_client(), (things["token"], things["hold"])
    if caller == "customer":
        tokens = tokens_of_every_kind(things, at)
        for token in tokens:
            client.get(f"/b/{token}")  # a browser that has been there, where there is something
    else:
        sign_in(client, people[caller])
    numbers = db.session.scalars(select(Booking.number)).all()
    at("09:16")  # some holds are over, and the session was last seen long enough ago
    before, asked = checksum(without=SEEN), 0
    for rule in rules(app):
        if "GET" not in rule.methods:
            continue
        every = {"token": tokens, "number": numbers}
        name = next((name for name in every if name in rule.arguments), "")
        for value in every.get(name, [""]):
            url = address(app, rule.endpoint, things | {name: value}, "GET")
            more = [f"b={number}&move={number}" for number in numbers] if rule.endpoint == "board.show" else []
            for query in ("", f"svc={service().id}&car={car_type().id}&d=2026-11-04&new=1", *more):
                for method in ("GET", "HEAD") if caller in ("customer", "admin") else ("GET",):
                    answer = client.open(f"{url}{'&' if '?' in url else '?'}{query}", method=method)
                    assert answer.status_code < 500 or rule.endpoint.startswith("health"), url
                asked += 1
        assert checksum(without=SEEN) == before, f"{rule.endpoint} has changed something"

    assert asked > 40


def test_the_note_when_a_session_was_seen_is_all_that_a_page_writes(client, olga, at):
    sign_in(client, olga)
    before, but_for_the_note = checksum(), checksum(without=SEEN)

    client.get("/manage/posts")
    assert checksum() == before
    at("09:06")
    client.get("/manage/posts")

    assert checksum() != before
    assert checksum(without=SEEN) == but_for_the_note


def tokens_of_every_kind(things, at):
    """Of a booking, of holds (over, and not), of a cancelled booking, of links made new and before that, of nothing."""
    point = db.session.scalars(select(ServicePoint).where(ServicePoint.slug == things["slug"])).one()
    cancelled, revoked = new_token(), new_token()
    cancel_booking(booking(point, "2026-11-03 14:00", token=cancelled).id, actor=USER)
    renewed = renew_link(booking(point, "2026-11-03 15:00", token=revoked).id)
    at("09:05")
    wanted = {"service_ids": [service().id], "car_type_id": car_type().id}
    later = reserve_slot_temporarily(point.id, kyiv("2026-11-03 12:00"), 40, new_token(), wanted=wanted)
    return things["token"], things["hold"], later.token, cancelled, revoked, renewed, new_token()


def test_parts_of_addresses_are_kebab_case(app):
    """But those of the API, which are named like its fields."""
    for rule in rules(app):
        if rule.rule.startswith("/api/v1/"):
            assert re.fullmatch(r"(/([a-z]+(_[a-z]+)*|openapi\.json))+", re.sub(r"/<[^>]*>", "", rule.rule)[7:]), (
                rule.rule
            )
            continue
        for part in re.sub(r"<[^>]*>", "", rule.rule).split("/"):
            assert re.fullmatch(r"([a-z0-9]+([-.][a-z0-9]+)*)?", part), rule.rule


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "2147483648",
        "9223372036854775808",
        "18446744073709551616",
        "-1",
        "1e3",
        "1.0",
        "١٢٣",
        "1;drop",
        "%00",
        "x" * 10_000,
    ],
)
@pytest.mark.parametrize("kind", ["posts", "templates"])
def test_odd_ids_are_not_found(client, olga, kind, value):
    sign_in(client, olga)

    assert client.get(f"/manage/{kind}/{value}").status_code == 404
    assert client.post(f"/manage/{kind}/{value}").status_code == 404


@pytest.mark.parametrize(
    "day",
    [
        "2026-02-30",
        "2026-13-01",
        "0001-01-01",
        "9999-12-31",
        "10000-01-01",
        "today",
        "2026-11-2",
        "٢٠٢٦-١١-٠٢",
        "2026-11-02T10:00",
        "%00",
    ],
)
def test_days_that_are_none_are_not_found(client, olga, day):
    sign_in(client, olga)

    assert client.get(f"/board/zimnyaya-5/{day}").status_code == 404


@pytest.mark.parametrize(
    "query", ["s=", "s=%00", "s=nowhere", "s=zimnyaya-5&s=letnyaya-7", "s=" + "x" * 5_000, "s=%FF"]
)
def test_odd_stations_of_a_query_lead_nowhere_else(client, olga, query):
    sign_in(client, olga)

    assert client.get(f"/manage/posts?{query}").status_code in (200, 404)


@pytest.mark.parametrize("number", ["%00", "XXXXXX", "x" * 5_000, "%F0%9F%9A%97", "' OR 1=1 --"])
def test_odd_numbers_of_bookings_are_not_found(client, olga, number):
    sign_in(client, olga)

    assert client.get(f"/board/zimnyaya-5/2026-11-02?b={number}").status_code == 404
    assert client.post(f"/board/zimnyaya-5/bookings/{number}/transition").status_code == 404
