"""People and rights: invited by a link that works once, given only what the giver has, never without an admin."""

import html
import re

import pytest
from sqlalchemy import select

from tests.conftest import ON_ONE_DATABASE
from tests.factories import PASSWORD, sign_in, user
from tirefit import accounts, people
from tirefit.database import db
from tirefit.errors import EmailTaken, InvitationGone, LastAdmin, NotYours
from tirefit.models import AuditEntry, Invitation, User, UserRole, UserSession

STAFF = "/manage/zimnyaya-5/staff"
NEW_PASSWORD = "длинный и новый пароль"


@pytest.fixture
def admin(station):
    return user("Админ", "admin@example.com", "admin")


def roles_of(found):
    db.session.expire_all()
    return {(held.role, held.service_point_id) for held in db.session.get_one(User, found.id).roles}


def test_a_fitter_comes_by_a_link_that_works_once(app, client, station, olga):
    page = sign_in(client, olga).post(f"{STAFF}/invite", data={"email": "New@example.com", "role": "staff"})
    link = html.unescape(re.search(r'value="https://tirefit.test(/invite/[^"]+)"', page.text)[1])
    newcomer = app.test_client()

    assert "new@example.com" in newcomer.get(link).text
    short = newcomer.post(link, data={"name": "Новый", "password": "коротко"})
    assert short.status_code == 422
    easy = newcomer.post(link, data={"name": "Новый", "password": "new@example.com"})
    assert easy.status_code == 422 and "легко угадать" in easy.text and 'value="Новый"' in easy.text
    answer = newcomer.post(link, data={"name": "Новый", "password": NEW_PASSWORD})

    assert (answer.status_code, answer.location) == (303, "/board")
    assert newcomer.get("/board/zimnyaya-5/2026-11-02").status_code == 200
    assert newcomer.get(STAFF).status_code == 403
    assert app.test_client().get(link).status_code == 410
    assert app.test_client().post(link, data={"name": "Второй", "password": NEW_PASSWORD}).status_code == 410
    assert not db.session.scalars(select(Invitation)).all()
    events = db.session.scalars(select(AuditEntry.event).where(AuditEntry.kind == "user").order_by(AuditEntry.id)).all()
    assert events == ["user_invited", "user_added"]


def test_an_invitation_ends_after_a_week_and_when_it_is_withdrawn(client, station, olga, at):
    first = people.invite("a@example.com", "staff", station.id, by=olga.id)
    again = people.invite("a@example.com", "staff", station.id, by=olga.id)
    with pytest.raises(InvitationGone):
        people.invitation_of(first)
    assert (
        sign_in(client, olga).post(f"{STAFF}/invitations/{people.invitation_of(again).id}/withdraw").status_code == 303
    )
    with pytest.raises(InvitationGone):
        people.invitation_of(again)
    last = people.invite("a@example.com", "staff", station.id, by=olga.id)
    at("2026-11-09 09:00")
    with pytest.raises(InvitationGone):
        people.accept(last, "А", NEW_PASSWORD, "ru")
    with pytest.raises(EmailTaken):
        people.invite("olga@example.com", "staff", station.id, by=olga.id)


def test_nobody_gives_what_they_do_not_have(client, station, olga, ivan, admin, stranger):
    elsewhere = stranger.roles[0].service_point_id
    for role, point_id in (("admin", None), ("staff", elsewhere), ("manager", elsewhere)):
        with pytest.raises(NotYours):
            people.invite("a@example.com", role, point_id, by=olga.id)
    sign_in(client, olga)

    assert client.post(f"{STAFF}/{ivan.id}/role", data={"role": "admin"}).status_code == 403
    assert client.post(f"{STAFF}/{admin.id}/role", data={"role": "staff"}).status_code == 403
    assert client.post(f"{STAFF}/{admin.id}/active", data={"active": "0"}).status_code == 403
    assert client.post(f"{STAFF}/{stranger.id}/role", data={"role": "staff"}).status_code == 404
    assert client.post(f"{STAFF}/{ivan.id}/sessions/end", data={"session": "x"}).status_code == 403
    assert client.post(f"{STAFF}/{ivan.id}/role", data={"role": "manager"}).status_code == 303
    assert roles_of(ivan) == {("manager", station.id)}


def test_the_last_admin_stays_one(client, station, admin):
    sign_in(client, admin)

    assert client.post(f"{STAFF}/{admin.id}/role", data={"role": "staff"}).status_code == 409
    assert "последний администратор" in client.post(f"{STAFF}/{admin.id}/active", data={"active": "0"}).text
    assert roles_of(admin) == {("admin", None)}
    second = user("Второй", "second@example.com", "admin")
    people.set_role(admin.id, station.id, "manager", by=second.id)
    assert roles_of(admin) == {("manager", station.id)}
    with pytest.raises(LastAdmin):
        people.set_active(second.id, False, by=second.id)


def test_a_role_at_one_station_leaves_the_others(station, stranger, admin):
    elsewhere = stranger.roles[0].service_point_id
    people.set_role(stranger.id, station.id, "staff", by=admin.id)
    assert roles_of(stranger) == {("manager", elsewhere), ("staff", station.id)}
    people.set_role(stranger.id, station.id, None, by=admin.id)
    assert roles_of(stranger) == {("manager", elsewhere)}
    people.set_role(stranger.id, station.id, "admin", by=admin.id)
    assert db.session.scalars(select(UserRole.role).where(UserRole.user_id == stranger.id)).all() == ["admin"]


def test_a_closed_account_is_out_at_once_and_can_come_back(app, client, station, olga, ivan):
    at_work = sign_in(app.test_client(), ivan)
    sign_in(client, olga).post(f"{STAFF}/{ivan.id}/active", data={"active": "0"})
    assert at_work.get("/board/zimnyaya-5/2026-11-02").status_code == 303
    client.post(f"{STAFF}/{ivan.id}/active", data={"active": "1"})
    assert accounts.sign_in("ivan@example.com", PASSWORD, "192.0.2.1")


def test_ones_own_password_and_sessions(app, client, olga):
    here, there = sign_in(client, olga), sign_in(app.test_client(), olga)
    name = re.search(r'name="session" value="(\w+)"', here.get("/account").text)[1]
    assert here.post("/account/sessions/end", data={"session": name}).status_code == 303
    assert there.get("/account").status_code == 303
    there = sign_in(app.test_client(), olga)
    wrong = here.post("/account/password", data={"old": "не тот", "new": NEW_PASSWORD})
    assert wrong.status_code == 422 and "Нынешний пароль другой" in wrong.text
    easy = here.post("/account/password", data={"old": PASSWORD, "new": "olga@example.com"})
    assert easy.status_code == 422 and "легко угадать" in easy.text
    assert here.post("/account/password", data={"old": PASSWORD, "new": NEW_PASSWORD}).status_code == 303
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 303
    assert accounts.sign_in("olga@example.com", NEW_PASSWORD, "192.0.2.1")


def test_admins_see_who_is_signed_in_and_end_it(app, client, station, ivan, admin):
    at_work = sign_in(app.test_client(), ivan)
    page = sign_in(client, admin).get(STAFF)
    name = re.search(rf'{ivan.id}/sessions/end">.*?value="(\w{{16}})"', page.text, re.S)[1]
    client.post(f"{STAFF}/{ivan.id}/sessions/end", data={"session": name})
    assert at_work.get("/board").status_code == 303
    assert db.session.scalar(select(UserSession.user_id)) == admin.id


def test_somebody_of_another_station_is_let_in_with_the_account_they_have(client, station, olga, stranger):
    before = roles_of(stranger)
    page = sign_in(client, olga).post(f"{STAFF}/invite", data={"email": stranger.email, "role": "staff"})

    assert page.status_code == 303
    assert roles_of(stranger) == before | {("staff", station.id)}
    assert not db.session.scalars(select(Invitation)).all()
    again = client.post(f"{STAFF}/invite", data={"email": stranger.email, "role": "manager"})
    assert again.status_code == EmailTaken.status and ("manager", station.id) not in roles_of(stranger)
    assert sign_in(client.application.test_client(), stranger).get("/board?s=zimnyaya-5").status_code == 302


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("Mozilla/5.0 (Linux; Android 14) Gecko/128.0 Firefox/128.0", "Firefox, Android"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/130 Safari/537 Edg/130", "Edge, Windows"),
        ("<script>", ""),
    ],
)
def test_people_know_their_sessions_by_their_browsers(app, station, olga, says, told):
    client = app.test_client()
    client.post("/login", data={"email": olga.email, "password": PASSWORD}, headers={"User-Agent": says})
    page = client.get("/account").text

    assert db.session.scalars(select(UserSession.browser)).one() == told
    assert (f"<b>{told}</b>" in page) == bool(told) and "<script>" not in page
