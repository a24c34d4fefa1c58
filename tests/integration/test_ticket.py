"""What a customer does with a booking, page by page, without JavaScript: the link, moving, cancelling, coming late."""

import re
from datetime import timedelta

import icalendar
import pytest
from sqlalchemy import select, update

from tests import factories
from tests.checksum import checksum
from tests.conftest import ON_ONE_DATABASE
from tests.factories import BORIS, car_type, kyiv, service
from tests.integration.test_public import alternatives, html, times
from tirefit import create_app, limits
from tirefit.booking.links import find_by_token, renew_link
from tirefit.booking.steps import cancel_booking, report_late, transition_booking
from tirefit.database import command, db
from tirefit.models import Booking, BookingEvent, BookingLink, Notification, ServicePrice
from tirefit.notifications.outbox import claim, mark_failed, mark_sent
from tirefit.schedule.reservations import hash_of, new_token

NBSP = "\N{NO-BREAK SPACE}"
TOMORROW = "2026-11-03"


@pytest.fixture
def token() -> str:
    return new_token()


@pytest.fixture
def anna(client, station, token):
    """Her booking for tomorrow at ten, and the clean address in her browser."""
    factories.booking(station, f"{TOMORROW} 10:00", token=token)
    return client.get(f"/b/{token}").location


# --- the link


def test_a_link_leads_to_a_clean_address_and_leaves_a_key(client, station, token):
    made = factories.booking(station, "10:00", token=token)
    answer = client.get(f"/b/{token}?new=1")

    assert (answer.status_code, answer.location) == (303, f"/b/{made.number}?new=1")
    cookie = answer.headers["Set-Cookie"]
    assert all(part in cookie for part in (token, "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=34560000"))
    page = client.get(answer.location)
    assert "Вы записаны" in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Robots-Tag"] == "noindex"
    assert page.headers["Cache-Control"] == "no-store"
    assert '<meta name="robots" content="noindex">' in page.text


def test_a_station_that_does_not_say_where_it_is_is_not_shown_on_a_map(client, anna, token):
    assert "Построить маршрут" in client.get(anna).text
    nowhere = factories.station("letnyaya-7", "Летняя, 7", city="", address="")
    other = new_token()
    factories.booking(nowhere, f"{TOMORROW} 10:00", token=other)

    page = client.get(f"/b/{other}", follow_redirects=True)

    assert "Летняя, 7" in page.text and "Построить маршрут" not in page.text
    assert "открыто до 18:00" in page.text


def test_over_https_the_key_is_for_this_host_alone(tmp_path, new_database):
    app = create_app(
        TESTING=True,
        INSTANCE_PATH=str(tmp_path),
        DATABASE_URL=new_database("sqlite"),
        HTTPS=True,
        WTF_CSRF_ENABLED=False,
    )
    with app.app_context():
        key = new_token()
        factories.booking(factories.station(), "10:00", token=key)
        cookie = app.test_client().get(f"/b/{key}", base_url="https://localhost").headers["Set-Cookie"]
        db.engine.dispose()
    assert cookie.startswith(f"__Host-tirefit-tickets={key};")
    assert "; Secure;" in cookie and "Domain" not in cookie


def test_the_database_knows_only_the_hash_of_a_key(client, anna, token):
    assert db.session.scalars(select(BookingLink.token_hash)).all() == [hash_of(token)]
    assert client.get_cookie("tirefit-tickets").value == token


@pytest.mark.parametrize("page", ["", "/move", "/move/calendar", "/cancel", "/calendar.ics"])
def test_without_the_key_nobody_learns_whether_there_is_such_a_booking(app, anna, page):
    elsewhere = app.test_client()
    there, not_there = elsewhere.get(anna + page), elsewhere.get("/b/ZZZZZZ" + page)

    assert (there.status_code, not_there.status_code) == (403, 403)
    assert there.text.replace(anna, "/b/ZZZZZZ") == not_there.text
    assert "Откройте ссылку из письма" in there.text
    assert 'href="/find"' in there.text
    assert "Анна" not in there.text


@pytest.mark.parametrize("page", ["move", "cancel", "restore", "late", "plate", "email", "link"])
def test_without_the_key_nobody_changes_anything(app, anna, page):
    before = checksum()
    assert app.test_client().post(f"{anna}/{page}").status_code == 403
    assert checksum() == before


def test_a_key_opens_its_own_booking_only(client, anna, station):
    other = factories.booking(station, "12:00", BORIS)
    assert client.get(f"/b/{other.number}").status_code == 403
    assert client.get(f"/b/{other.number.lower()}").status_code == 404


def test_a_browser_keeps_the_last_ten_bookings_with_one_key_each(client, station):
    keys = [new_token() for _ in range(12)]
    made = [
        factories.booking(station, kyiv(f"{TOMORROW} 09:00") + timedelta(minutes=30 * n), token=key)
        for n, key in enumerate(keys)
    ]
    pages = [client.get(f"/b/{key}").location for key in keys]
    letter = claim()  # another link to the first of them
    assert letter.booking_id == made[0].id
    client.get(f"/b/{letter.token}")

    assert client.get_cookie("tirefit-tickets").value.split(".") == [letter.token, *reversed(keys[3:])]
    client.get(f"/b/{keys[5]}")  # again: it comes first, and not twice
    assert client.get_cookie("tirefit-tickets").value.split(".")[:2] == [keys[5], letter.token]
    assert client.get_cookie("tirefit-tickets").value.count(keys[5]) == 1
    assert [client.get(page).status_code for page in pages] == [200, 403, 403] + [200] * 9


@pytest.mark.parametrize("junk", ["", ".", "x" * 3900, "." * 500, "a" * 22, "%00", "{{7*7}}", "ключ"])
def test_a_cookie_of_junk_opens_nothing_and_breaks_nothing(client, station, token, junk):
    made = factories.booking(station, "10:00", token=token)
    client.set_cookie("tirefit-tickets", junk.encode("utf-8").decode("latin-1"))
    assert client.get(f"/b/{made.number}").status_code == 403
    assert client.get(f"/b/{token}").status_code == 303
    assert client.get(f"/b/{made.number}").status_code == 200


def test_a_revoked_link_opens_neither_the_page_nor_the_calendar(client, anna, token):
    renew_link(find_by_token(token).id)

    dead = client.get(f"/b/{token}")
    assert dead.status_code == 410
    assert "Ссылка больше не работает" in dead.text
    assert 'href="/find"' in dead.text
    assert client.get(f"/b/{token}/calendar.ics").status_code == 410
    assert client.get(anna).status_code == 403


def test_a_calendar_program_needs_no_cookie(app, anna, token):
    answer = app.test_client().get(f"/b/{token}/calendar.ics")
    assert answer.mimetype == "text/calendar"


@ON_ONE_DATABASE
def test_twenty_prefetches_of_every_page_change_nothing(app, client, anna, token):
    pages = [f"/b/{token}", f"/b/{token}/calendar.ics", "/find", "/find?sent=1"]
    pages += [
        anna + page for page in ("", "?new=1", "?done=moved", "/move", "/move?edit=1", "/move/calendar", "/cancel")
    ]
    pages += [f"{anna}/move?at=2026-11-03T11:00%2B02:00", f"{anna}/calendar.ics"]
    before = checksum()
    for _ in range(10):
        for page in pages:
            for method in ("GET", "HEAD"):
                assert client.open(page, method=method, headers={"Purpose": "prefetch"}).status_code in (200, 303)
                app.test_client().open(page, method=method, headers={"User-Agent": "BingPreview/1.0b"})
    assert checksum() == before


# --- moving


def test_the_picker_marks_the_time_one_has(client, anna, station):
    factories.booking(station, f"{TOMORROW} 10:00", BORIS)  # on the other post that begins then
    page = client.get(f"{anna}/move")
    assert page.status_code == 200
    assert "Сейчас вы записаны на вт, 3 ноября, 10:00" in page.text
    assert "".join(of_class(page, "yours").itertext()) == "10:00 сейчас у вас"
    assert "10:00" not in times(page)
    assert "09:40" in times(page)  # of her own post and time: she frees it herself


def test_a_tapped_time_is_shown_beside_the_old_one_and_one_button_swaps(client, anna):
    page = client.get(f"{anna}/move?at=2026-11-04T11:00%2B02:00")
    assert "Перенести запись?" in page.text
    assert "Перенести на ср, 4 ноября, 11:00" in page.text
    assert "Работа и цена не меняются" in page.text

    answer = client.post(f"{anna}/move", data=fields_of(page))
    assert (answer.status_code, answer.location) == (303, f"{anna}?done=moved")
    ticket = client.get(answer.location)
    assert "Запись перенесена" in ticket.text
    assert "Было: вт, 3 ноября, 10:00. Стало: ср, 4 ноября, 11:00." in ticket.text
    assert only_booking().starts_at == kyiv("2026-11-04 11:00")


def test_a_double_tap_moves_once(client, anna):
    sent = fields_of(client.get(f"{anna}/move?at=2026-11-04T11:00%2B02:00"))
    first, second = (client.post(f"{anna}/move", data=sent) for _ in range(2))
    assert first.location == second.location == f"{anna}?done=moved"
    assert events() == ["created", "rescheduled"]


def test_other_work_has_other_minutes_and_another_price(client, anna):
    longer = f"svc={service().id}&svc={service('Балансировка').id}&car={car_type().id}"
    page = client.get(f"{anna}/move?{longer}")
    assert f"70{NBSP}мин · 1{NBSP}900{NBSP}₴" in page.text
    page = client.get(f"{anna}/move?{longer}&at=2026-11-03T10:00%2B02:00")
    assert "Изменить запись?" in page.text
    assert f"40{NBSP}мин · 1{NBSP}200{NBSP}₴" in page.text and f"70{NBSP}мин · 1{NBSP}900{NBSP}₴" in page.text

    ticket = client.get(client.post(f"{anna}/move", data=fields_of(page)).location)
    assert f"Было 40{NBSP}мин · 1{NBSP}200{NBSP}₴, стало 70{NBSP}мин · 1{NBSP}900{NBSP}₴" in ticket.text
    assert (only_booking().total_duration, only_booking().starts_at) == (70, kyiv(f"{TOMORROW} 10:00"))


def test_moving_in_time_alone_keeps_the_agreed_price(client, anna, station):
    @command
    def raise_prices():
        db.session.execute(update(ServicePrice).values(amount=ServicePrice.amount + 10_000))

    raise_prices()
    page = client.get(f"{anna}/move?at=2026-11-04T11:00%2B02:00")
    assert f"Работа и цена не меняются: Сезонная переобувка, 1{NBSP}200{NBSP}₴" in page.text
    client.post(f"{anna}/move", data=fields_of(page))
    assert only_booking().total_price == 120_000
    assert factories.booking(station, "12:00", BORIS).total_price == 130_000


def test_the_work_can_be_chosen_anew_from_the_ticket(client, anna):
    page = client.get(f"{anna}/move?edit=1&svc={service().id}&car={car_type().id}")
    assert "Что изменить?" in page.text
    assert html(page).find(".//form[@id='pick']").get("action") == f"{anna}/move"
    page = client.get(f"{anna}/move/calendar")
    assert f"{anna}/move?d=2026-11-04" in page.text


def test_a_time_that_is_gone_offers_three_others_at_the_tap_and_at_the_button(client, anna, station):
    sent = fields_of(client.get(f"{anna}/move?at=2026-11-04T09:40%2B02:00"))  # one post only begins then
    factories.booking(station, "2026-11-04 09:40", BORIS)

    late = client.post(f"{anna}/move", data=sent)
    tap = client.get(f"{anna}/move?at=2026-11-04T09:40%2B02:00")
    for page in (late, tap):
        assert page.status_code == 409
        assert "09:40 только что заняли" in page.text
        assert len(alternatives(page)) == 3
    assert find_by_number(anna).starts_at == kyiv(f"{TOMORROW} 10:00")


def test_her_own_time_is_no_alternative(client, anna, station):
    gone = client.get(f"{anna}/move?at=2026-11-03T10:05%2B02:00")  # no slot begins then
    assert gone.status_code == 409
    offered = alternatives(gone)
    assert len(offered) == 3
    assert "2026-11-03T10:00+02:00" not in offered


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"at": "x"},
        {"at": "2026-11-04T11:00"},
        {"at": ["2026-13-04T11:00+02:00"]},
        {"at": "2026-11-04T11:00+02:00", "svc": "999999", "car": "1"},
        {"at": "2026-11-01T11:00+02:00"},
        {"at": "2027-11-01T11:00+02:00"},
        {"at": "2026-11-04T03:00+02:00"},
    ],
)
def test_what_makes_no_sense_moves_nothing(client, anna, sent):
    before = checksum()
    assert client.post(f"{anna}/move", data=sent).status_code in (409, 422)
    assert checksum() == before


def test_whoever_looks_at_an_old_page_is_told_and_loses_nothing(client, anna, station, token):
    sent = fields_of(client.get(f"{anna}/move?at=2026-11-04T11:00%2B02:00"))
    report_late(find_by_token(token).id, 10)  # anything that has changed meanwhile

    answer = client.post(f"{anna}/move", data=sent)
    assert answer.status_code == 409
    assert "Эту запись только что изменили" in answer.text
    assert "10:00" in answer.text
    assert only_booking().starts_at == kyiv(f"{TOMORROW} 10:00")


# --- cancelling, and back


def test_cancelling_asks_why_and_can_be_taken_back(client, anna, station):
    page = client.get(f"{anna}/cancel")
    assert "Отменить запись на вт, 3 ноября, 10:00?" in page.text
    client.post(f"{anna}/cancel", data=fields_of(page) | {"reason": "weather; DROP"})
    assert only_booking().cancel_reason == ""

    client.post(f"{anna}/restore")
    client.post(f"{anna}/cancel", data={"reason": "plans"})
    assert (only_booking().status, only_booking().cancel_reason) == ("cancelled_by_customer", "plans")
    ticket = client.get(anna)
    assert "Вы отменили её сегодня в 09:00" in ticket.text
    assert "Место освободили. Вернуть?" in ticket.text

    answer = client.post(f"{anna}/restore", data=fields_of(ticket, "restore"))
    assert answer.location == f"{anna}?done=restored"
    assert "Запись снова ваша" in client.get(answer.location).text
    assert only_booking().status == "confirmed"


def test_the_stations_letter_says_why_in_words(client, anna, station):
    from tirefit.notifications.letters import compose

    client.post(f"{anna}/cancel", data={"reason": "elsewhere"})
    while letter := claim():
        if letter.kind == "booking_cancelled_by_customer":
            message = compose(letter)
            assert "Сделаю в другом месте" in message.body and "Сделаю в другом месте" in message.html
            return
        mark_sent(letter.id, letter.lease)
    raise AssertionError("no letter to the station")


def test_a_place_that_is_taken_is_not_offered_back_and_not_given_back(client, anna, station):
    client.post(f"{anna}/cancel")
    ticket = client.get(anna)
    for _ in range(2):
        factories.booking(station, f"{TOMORROW} 10:00", BORIS)

    answer = client.post(f"{anna}/restore", data=fields_of(ticket, "restore"))
    assert answer.status_code == 409
    assert "10:00 только что заняли" in answer.text
    assert "Записаться снова" in answer.text
    assert "Вернуть запись" not in answer.text
    assert "Вернуть?" not in client.get(anna).text


def test_what_the_station_cancelled_the_customer_does_not_bring_back(client, anna, token):
    cancel_booking(find_by_token(token).id, actor="user", reason="Сломался подъёмник")
    page = client.get(anna)
    assert "Её отменила станция, сегодня в 09:00" in page.text
    assert "Сломался подъёмник" in page.text
    assert "Вернуть?" not in page.text
    answer = client.post(f"{anna}/restore")
    assert answer.status_code == 409
    assert "С этой записью так уже нельзя" in answer.text


# --- shortly before


def test_inside_the_cut_off_the_buttons_say_the_rule_and_lateness_is_told(client, anna, at):
    at(f"{TOMORROW} 08:30")
    page = client.get(anna)
    assert "До приезда меньше 2" + NBSP + "ч" in page.text
    assert 'href="tel:+380442000505"' in page.text
    assert f'href="{anna}/move"' in page.text and f'href="{anna}/cancel"' in page.text
    for way in ("move", "cancel"):
        refused = client.get(f"{anna}/{way}")
        assert refused.status_code == 409
        assert "Изменить можно по телефону" in refused.text
        assert "tel:+380442000505" in refused.text
    refused = client.post(f"{anna}/move", data={"at": "2026-11-04T11:00+02:00"})
    assert refused.status_code == 409
    assert "До приезда осталось мало времени" in refused.text
    assert client.post(f"{anna}/cancel").status_code == 409

    assert client.post(f"{anna}/late", data={"minutes": "20"}).location == anna
    assert only_booking().late_minutes == 20
    assert f"Станция знает: вы опоздаете на 20{NBSP}мин" in client.get(anna).text
    for odd in ("15", "", "-10", "99999999999", "x"):
        assert client.post(f"{anna}/late", data={"minutes": odd}).status_code == 422
    assert only_booking().late_minutes == 20


def test_long_before_nobody_is_asked_about_lateness(client, anna):
    assert "Опаздываете?" not in client.get(anna).text


@pytest.mark.parametrize(
    ("events_", "words"),
    [
        (["arrive"], "Вы на месте"),
        (["arrive", "start"], "Закончим примерно в 10:50"),
        (["start", "complete"], "Следующая смена шин — в апреле"),
        (["no_show"], "Вы не приехали"),
        ([], "Время записи прошло"),
    ],
)
def test_each_state_has_its_page(client, anna, token, at, events_, words):
    at(f"{TOMORROW} 10:10")
    for event in events_:
        transition_booking(find_by_token(token).id, event)
    if not events_:
        at(f"{TOMORROW} 12:00")
    page = client.get(anna)
    assert words in page.text
    for way in ("move", "cancel"):
        assert f"{anna}/{way}" not in page.text
        answer = client.get(f"{anna}/{way}")
        assert (answer.status_code, answer.location) == (303, anna)


# --- the link again


def test_a_link_is_sent_to_whoever_gave_no_address(client, station, token):
    factories.booking(station, "15:00", factories.Customer("Анна", "+380671234567"), token=token)
    ticket = client.get(f"/b/{token}").location
    assert "отправьте себе ссылку" in client.get(f"{ticket}?new=1").text

    refused = client.post(f"{ticket}/email", data={"email": "anna@"})
    assert refused.status_code == 422
    assert "Проверьте адрес" in refused.text
    answer = client.post(f"{ticket}/email", data={"email": "anna@example.com"})
    assert answer.location == f"{ticket}?done=sent"
    assert "Ссылку отправили на anna@example.com" in client.get(answer.location).text
    assert letters() == [("booking_link", "anna@example.com")]


def test_a_letter_that_did_not_arrive_is_said_and_the_address_corrected(client, anna, token):
    letter = claim()
    assert letter.recipient == "anna@example.com"
    mark_failed(letter.id, letter.lease, "550 5.1.1 no such user")
    page = client.get(anna)
    assert "Письмо на anna@example.com не дошло — проверьте адрес" in page.text
    assert "550" not in page.text

    client.post(f"{anna}/email", data={"email": "anna.k@example.com"})
    assert "не дошло" not in client.get(anna).text


def test_a_new_link_lets_the_old_ones_die_and_this_browser_go_on(client, app, anna, token):
    answer = client.post(f"{anna}/link")
    assert answer.location == f"{anna}?done=renewed"
    page = client.get(answer.location)
    assert page.status_code == 200
    link = html(page).find(".//input[@id='its-link']").get("value")
    assert link.startswith("https://tirefit.test/b/") and token not in page.text

    elsewhere = app.test_client()
    assert elsewhere.get(f"/b/{token}").status_code == 410
    assert elsewhere.get(link.removeprefix("https://tirefit.test")).location == anna
    assert elsewhere.get(anna).status_code == 200


def test_who_asks_for_a_lost_link_is_answered_the_same_whoever_they_are(client, app, anna):
    mark_all_sent()
    known, unknown = (
        app.test_client().post("/find", data={"email": email}) for email in ("Anna@Example.com", "nobody@example.com")
    )
    assert (known.status_code, known.location, known.text) == (unknown.status_code, unknown.location, unknown.text)
    assert "Проверьте почту" in client.get(known.location).text
    assert letters("pending") == [("booking_link", "anna@example.com")]
    assert client.post("/find", data={"email": "x"}).status_code == 422


@pytest.mark.parametrize("where", ["/find", "email"])
def test_too_many_requests_for_links_are_told_when_to_come_back(client, anna, where):
    address = where if where == "/find" else f"{anna}/{where}"
    for _ in range(limits.LINKS.most):
        assert client.post(address, data={"email": "nobody@example.com"}).status_code == 303
    refused = client.post(address, data={"email": "nobody@example.com"})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "3600"
    assert f"Попробуйте снова через 1{NBSP}ч" in refused.text


def test_the_footer_and_the_dead_pages_lead_to_a_lost_link(client, station):
    assert 'href="/find?s=zimnyaya-5"' in client.get("/s/zimnyaya-5").text
    assert "Зимняя, 5" in client.get("/find?s=zimnyaya-5").text
    for odd in ("/find?s=nowhere", "/find?s=%00", "/find?s=" + "x" * 5000):
        assert client.get(odd).status_code == 200


# --- the calendar


def test_a_calendar_follows_the_booking_through_its_whole_life(client, anna, at):
    """Book, move, cancel, restore: one entry, each time a later version of it."""
    seen = [entry(client, anna)]
    client.post(f"{anna}/move", data={"at": "2026-11-04T11:00+02:00"})
    seen.append(entry(client, anna))
    client.post(f"{anna}/cancel")
    seen.append(entry(client, anna))
    client.post(f"{anna}/restore")
    seen.append(entry(client, anna))

    assert len({each["uid"] for each in seen}) == 1
    sequence = [int(each["sequence"]) for each in seen]
    assert sequence == sorted(set(sequence))
    assert [str(each["status"]) for each in seen] == ["CONFIRMED", "CONFIRMED", "CANCELLED", "CONFIRMED"]
    assert [each.decoded("dtstart") for each in seen] == [kyiv(f"{TOMORROW} 10:00"), *[kyiv("2026-11-04 11:00")] * 3]


# --- what is on the page, and in the database


def of_class(page, name):
    return next(each for each in html(page).iter() if name in (each.get("class") or "").split())


def fields_of(page, action: str = "") -> dict[str, object]:
    """What the page's form sends: that of this action, else the first whose fields are hidden."""
    for form in html(page).iter("form"):
        if form.get("method") == "post" and (form.get("action") or "").endswith(action):
            found: dict[str, list[str]] = {}
            for field in form.iter("input"):
                if field.get("type") == "hidden":
                    found.setdefault(field.get("name"), []).append(field.get("value"))
            return dict(found)
    raise AssertionError("no such form")


def entry(client, ticket: str):
    calendar = icalendar.Calendar.from_ical(client.get(f"{ticket}/calendar.ics").data)
    (event,) = calendar.walk("VEVENT")
    return event


def find_by_number(ticket: str) -> Booking:
    number = re.search(r"/b/(\w{6})", ticket)[1]
    return db.session.scalars(select(Booking).where(Booking.number == number)).one()


def only_booking() -> Booking:
    return db.session.scalars(select(Booking).execution_options(populate_existing=True)).one()


def events() -> list[str]:
    return list(db.session.scalars(select(BookingEvent.event).order_by(BookingEvent.id)))


def letters(state: str | None = None) -> list[tuple[str, str]]:
    found = select(Notification.kind, Notification.recipient).where(Notification.kind != "new_booking")
    found = found.where(Notification.state == state) if state else found
    return [tuple(row) for row in db.session.execute(found.order_by(Notification.id))]


def mark_all_sent() -> None:
    while letter := claim():
        mark_sent(letter.id, letter.lease)
