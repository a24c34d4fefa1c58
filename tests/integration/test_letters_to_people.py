"""Invitations and new passwords by letter: links that open once, and tell a stranger nothing."""

import html
import re

import pytest
from sqlalchemy import select

from tests.conftest import ON_ONE_DATABASE
from tests.factories import PASSWORD, booking, sign_in
from tirefit import people
from tirefit.database import db
from tirefit.jobs import tasks
from tirefit.models import AuditEntry, Notification, PersonLink, UserSession

STAFF = "/manage/zimnyaya-5/staff"
NEW_PASSWORD = "длинный и новый пароль"
ASK = "/password"


def link_in(letter) -> str:
    text = letter.get_body(("plain",)).get_content()
    return re.search(r"https://tirefit\.test(/\S+)", text)[1]


def letter_to(address, smtp):
    tasks.drain_letters()
    return next(letter for letter in smtp.messages if letter["To"] == address)


def test_who_is_invited_gets_a_letter_whose_link_is_the_same_invitation(app, client, station, olga, smtp):
    page = sign_in(client, olga).post(f"{STAFF}/invite", data={"email": "new@example.com", "role": "staff"})
    letter = letter_to("new@example.com", smtp)
    by_letter, by_hand = link_in(letter), html.unescape(re.search(r'value="https://tirefit.test([^"]+)"', page.text)[1])

    assert "Зимняя, 5" in letter["Subject"] and "Ольга" in letter.get_body(("html",)).get_content()
    assert by_letter != by_hand and "Письмо со ссылкой уже в пути" in page.text
    assert by_letter.rsplit("/")[-1] not in str(db.session.scalars(select(Notification.facts)).all())
    assert app.test_client().get(by_hand).status_code == 200
    answer = app.test_client().post(by_letter, data={"name": "Новый", "password": NEW_PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/board")
    for used in (by_letter, by_hand):
        assert app.test_client().post(used, data={"name": "Второй", "password": NEW_PASSWORD}).status_code == 410
    assert "Сотруднику: приглашение" in client.get("/manage/zimnyaya-5/notifications").text


def test_an_invitation_that_was_withdrawn_does_not_leave(station, olga, smtp):
    token = people.invite("new@example.com", "staff", station.id, by=olga.id)
    people.withdraw(people.invitation_of(token).id, station.id, by=olga.id)
    tasks.drain_letters()

    assert not smtp.messages
    assert db.session.scalars(select(Notification.state)).all() == ["cancelled"]


def test_whose_account_is_closed_meanwhile_gets_no_link_to_a_new_password(client, station, olga, ivan, smtp):
    client.post(ASK, data={"email": ivan.email})
    people.set_active(ivan.id, False, by=olga.id)
    tasks.drain_letters()

    assert not smtp.messages
    assert db.session.scalars(select(Notification.state)).all() == ["cancelled"]
    assert not db.session.scalars(select(PersonLink)).all()


def test_a_forgotten_password_is_chosen_anew_once_and_ends_every_session(app, client, station, olga, smtp):
    sign_in(client, olga)
    stranger = app.test_client()
    assert stranger.post(ASK, data={"email": "OLGA@example.com"}).location == "/password?sent=1"
    letter = letter_to(olga.email, smtp)
    link = link_in(letter)

    assert "olga@example.com" in stranger.get(link).text
    assert stranger.post(link, data={"password": "коротко"}).status_code == 422
    easy = stranger.post(link, data={"password": olga.email})
    assert easy.status_code == 422 and "легко угадать" in easy.text
    assert stranger.post(link, data={"password": NEW_PASSWORD}).location == "/login"
    assert stranger.get("/board").location.startswith("/login")  # nobody is signed in by a link
    db.session.expire_all()
    assert not db.session.scalars(select(UserSession)).all() and not db.session.scalars(select(PersonLink)).all()
    for page in (stranger.get(link), stranger.post(link, data={"password": NEW_PASSWORD})):
        assert page.status_code == 410 and "Прислать новую ссылку" in page.text
    assert stranger.post("/login", data={"email": olga.email, "password": PASSWORD}).status_code == 422
    assert stranger.post("/login", data={"email": olga.email, "password": NEW_PASSWORD}).status_code == 303
    assert "password_reset" in db.session.scalars(select(AuditEntry.event)).all()


@ON_ONE_DATABASE
def test_the_answer_is_the_same_whether_there_is_such_an_account(client, station, olga, smtp):
    answers = [client.post(ASK, data={"email": email}) for email in (olga.email, "nobody@example.com")]

    assert [(answer.status_code, answer.location) for answer in answers] == [(303, "/password?sent=1")] * 2
    assert len({client.get(answer.location).text for answer in answers}) == 1
    assert tasks.drain_letters() == 1


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}, {"Forwarded": "host=evil.example;proto=http"}],
    ids=lambda headers: next(iter(headers)),
)
def test_whoever_asks_under_another_name_sends_a_letter_with_our_links(client, station, olga, smtp, headers):
    made = booking(station, "12:00")
    for address, email in ((ASK, olga.email), ("/find", made.customer_email)):
        assert client.post(address, data={"email": email}, headers=headers).status_code == 303
    tasks.drain_letters()

    texts = [letter.get_body((kind,)).get_content() for letter in smtp.messages for kind in ("plain", "html")]
    assert {olga.email, made.customer_email} <= {letter["To"] for letter in smtp.messages}
    assert all("https://tirefit.test/" in text and "evil.example" not in text for text in texts)


@ON_ONE_DATABASE
def test_asked_twice_it_is_one_letter_and_one_network_asks_ten_times_an_hour(client, station, olga, smtp):
    answers = [client.post(ASK, data={"email": olga.email}).status_code for _ in range(11)]

    assert answers == [303] * 10 + [429]
    assert tasks.drain_letters() == 1


def test_the_link_dies_after_an_hour_and_with_the_account(client, station, olga, smtp, at):
    client.post(ASK, data={"email": olga.email})
    link = link_in(letter_to(olga.email, smtp))
    at("2026-11-02 09:59")
    assert client.get(link).status_code == 200
    at("2026-11-02 10:01")
    assert client.get(link).status_code == 410


@ON_ONE_DATABASE
@pytest.mark.parametrize("email", ["", "\x00", "x" * 500])
def test_what_is_no_address_is_told_so(client, station, email):
    assert client.post(ASK, data={"email": email}).status_code == 422
