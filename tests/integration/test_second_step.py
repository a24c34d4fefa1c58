"""Signing in with a second step: what lets in, what does not, how often one may guess, and the way back."""

import re
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select

from tests import factories
from tests.conftest import ON_ONE_DATABASE
from tests.factories import MONDAY, PASSWORD, sign_in
from tirefit import accounts, clock, people, second_step
from tirefit.database import db
from tirefit.errors import SecondCodeWrong, SignInTooOld, TooManyAttempts
from tirefit.models import AuditEntry, RecoveryCode, SecondStep, UserSession, WaitingSignIn

BOARD = "/board/zimnyaya-5/2026-11-02"
STEP = "/account/second-step"


@pytest.fixture
def admin(station):
    return factories.user("Админ", "admin@example.com", "admin")


@pytest.fixture
def codes(olga, at):
    """Ольга's recovery codes: her second step has been on for a while."""
    second_step.begin(olga.id)
    made = second_step.confirm(olga.id, code_of(olga)).codes
    at("09:10")
    return made


def code_of(user, moment=None):
    return pyotp.TOTP(db.session.get(SecondStep, user.id).key).at(moment or clock.now())


def give_password(client, user, next_page=BOARD):
    return client.post(f"/login?next={next_page}", data={"email": user.email, "password": PASSWORD})


def give_code(client, code):
    return client.post(f"/login/code?next={BOARD}", data={"code": code})


def waits(user):
    done = accounts.sign_in(user.email, PASSWORD, "192.0.2.7")
    assert done.waits
    return done.token


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds, code):
    """Appendix B, SHA-1, of which six digits are shown."""
    key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # 12345678901234567890
    assert pyotp.TOTP(key).generate_otp(seconds // second_step.LASTS) == code


def test_olga_turns_it_on_and_signs_in_with_both(app, client, station, olga):
    sign_in(client, olga)
    elsewhere = sign_in(app.test_client(), olga)
    assert client.get(f"{STEP}/key.svg").location == STEP
    assert client.post(f"{STEP}/begin", data={"password": "не тот пароль"}).status_code == 422
    assert client.post(f"{STEP}/begin", data={"password": PASSWORD}).status_code == 303

    page = client.get(STEP)
    assert db.session.get(SecondStep, olga.id).key in page.text
    picture = client.get(f"{STEP}/key.svg")
    assert (picture.mimetype, picture.headers["Cache-Control"]) == ("image/svg+xml", "no-store")
    assert not accounts.sign_in(olga.email, PASSWORD, "192.0.2.7").waits, "nothing is asked for before it works"
    assert client.post(f"{STEP}/confirm", data={"code": "000000"}).status_code == 422
    shown = client.post(f"{STEP}/confirm", data={"code": code_of(olga)})

    codes = re.findall(r"<code>([^<]+)</code>", shown.text)
    assert len(codes) == second_step.RECOVERY_CODES
    assert db.session.get(SecondStep, olga.id).key not in client.get(STEP).text
    assert client.get(f"{STEP}/key.svg").location == STEP
    assert client.get(BOARD).status_code == 200
    assert elsewhere.get(BOARD).status_code == 303, "other browsers are signed out"
    kept = db.session.scalars(select(RecoveryCode.code_hash)).all()
    assert not set(codes) & set(kept) and all(len(each) == 64 for each in kept)
    events = db.session.scalars(select(AuditEntry.event)).all()
    assert events == ["second_step_on"]


def test_a_password_alone_opens_nothing(client, olga, codes, at):
    answer = give_password(client, olga)

    assert (answer.status_code, answer.location) == (303, f"/login/code?next={BOARD}")
    assert client.get(BOARD).location.startswith("/login?")
    assert client.get("/account").status_code == 303
    assert "Шесть цифр" in client.get(answer.location).text
    assert not db.session.scalars(select(UserSession)).all()
    wrong = give_code(client, "000000")
    assert wrong.status_code == 422 and "Код не подошёл" in wrong.text
    right = give_code(client, code_of(olga))
    assert (right.status_code, right.location) == (303, BOARD)
    assert client.get(BOARD).status_code == 200
    assert not db.session.scalars(select(WaitingSignIn)).all()


@ON_ONE_DATABASE
@pytest.mark.parametrize(("off", "fits"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_code_fits_half_a_minute_around(olga, codes, off, fits):
    token, code = waits(olga), code_of(olga, MONDAY + timedelta(minutes=10, seconds=off))
    if fits:
        assert second_step.finish(token, code)
    else:
        with pytest.raises(SecondCodeWrong):
            second_step.finish(token, code)


def test_a_code_is_taken_once_and_none_older_than_it(olga, codes):
    now, before = code_of(olga), code_of(olga, MONDAY + timedelta(minutes=10, seconds=-30))
    assert second_step.finish(waits(olga), now)
    for used in (now, before):
        with pytest.raises(SecondCodeWrong):
            second_step.finish(waits(olga), used)


def test_a_recovery_code_stands_in_for_the_phone_once(client, olga, codes):
    give_password(client, olga)
    assert give_code(client, f" {codes[0].upper().replace('-', ' ')} ").status_code == 303
    assert "Осталось 7 кодов" in client.get(STEP).text
    with pytest.raises(SecondCodeWrong):
        second_step.finish(waits(olga), codes[0])
    assert "recovery_code_used" in db.session.scalars(select(AuditEntry.event)).all()

    fresh = client.post(f"{STEP}/codes", data={"code": codes[1]})
    assert len(re.findall(r"<code>", fresh.text)) == 8
    with pytest.raises(SecondCodeWrong):
        second_step.finish(waits(olga), codes[2])


@ON_ONE_DATABASE
def test_the_sixth_try_in_five_minutes_is_refused_though_right(client, olga, codes, at):
    give_password(client, olga)
    for _ in range(5):
        assert give_code(client, "000000").status_code == 422
    refused = give_code(client, code_of(olga))
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) == 300
    at("09:15")
    give_password(client, olga)
    assert give_code(client, code_of(olga)).status_code == 303
    token = waits(olga)
    for _ in range(5):  # a right code begins the count anew
        with pytest.raises(SecondCodeWrong):
            second_step.finish(token, "000000")


@ON_ONE_DATABASE
def test_fifty_wrong_codes_a_day_are_the_end_of_it(olga, codes, at):
    for n in range(50):
        at(MONDAY + timedelta(minutes=20 + 2 * n))
        with pytest.raises(SecondCodeWrong):
            second_step.renew_codes(olga.id, "000000")
    at(MONDAY + timedelta(hours=4))
    with pytest.raises(TooManyAttempts):
        second_step.renew_codes(olga.id, code_of(olga))


@ON_ONE_DATABASE
def test_a_sign_in_waits_for_ten_minutes_and_only_for_its_person(client, olga, ivan, codes, at):
    token = waits(olga)
    at("09:20")
    with pytest.raises(SignInTooOld):
        second_step.finish(token, code_of(olga))
    give_password(client, olga)
    at("09:30")
    assert give_code(client, code_of(olga)).location.startswith("/login")
    for odd in ("", "x" * 22, "\u0442"):
        with pytest.raises(SignInTooOld):
            second_step.finish(odd, "000000")
    with client.session_transaction() as session:
        session["waits"] = ["a", "list"]
    assert client.get("/login/code").location.startswith("/login")
    assert client.get(STEP).location.startswith("/login")


def test_a_new_password_ends_what_waits_for_a_code(olga, codes):
    token = waits(olga)
    people.change_password(olga.id, PASSWORD, "длинный и новый пароль", "x" * 22)
    with pytest.raises(SignInTooOld):
        second_step.finish(token, code_of(olga))


def test_it_is_turned_off_with_the_password_and_back_on_with_a_new_key(client, olga, codes):
    key = db.session.get(SecondStep, olga.id).key
    sign_in(client, olga)
    assert client.post(f"{STEP}/off", data={"password": "не тот пароль"}).status_code == 422
    assert client.post(f"{STEP}/begin", data={"password": PASSWORD}).status_code == 303
    assert db.session.get(SecondStep, olga.id).key == key, "what is on is not replaced unasked"
    assert client.post(f"{STEP}/off", data={"password": PASSWORD}).status_code == 303
    assert not accounts.sign_in(olga.email, PASSWORD, "192.0.2.7").waits
    assert not db.session.scalars(select(RecoveryCode)).all()
    second_step.begin(olga.id)
    assert db.session.get(SecondStep, olga.id).key != key


def test_an_admin_demands_it_of_a_role_and_who_lacks_it_sets_it_up_when_signing_in(app, client, station, olga, admin):
    at_work = sign_in(app.test_client(), olga)
    demand = sign_in(client, admin).post("/manage/zimnyaya-5/staff/second-step", data={"role": ["manager", "x"]})
    assert demand.status_code == 303
    assert second_step.demanded_of() == {"manager"}
    assert 'value="manager" checked' in client.get("/manage/zimnyaya-5/staff").text
    assert at_work.get(BOARD).status_code == 303

    answer = give_password(at_work, olga)
    assert at_work.get(answer.location).location == f"{STEP}?next={BOARD}"
    assert "Ваша роль входит в два шага" in at_work.get(f"{STEP}?next={BOARD}").text
    assert at_work.get(BOARD).status_code == 303
    for closed in ("codes", "off"):
        assert at_work.post(f"{STEP}/{closed}", data={"code": "000000", "password": PASSWORD}).status_code == 303
    assert at_work.post(f"{STEP}/begin?next={BOARD}").status_code == 303
    assert at_work.get(f"{STEP}/key.svg").status_code == 200
    shown = at_work.post(f"{STEP}/confirm?next={BOARD}", data={"code": code_of(olga)})
    assert f'href="{BOARD}"' in shown.text
    assert at_work.get(BOARD).status_code == 200
    refused = at_work.post(f"{STEP}/off", data={"password": PASSWORD})
    assert refused.status_code == 409 and "Второй шаг отключить нельзя" in refused.text


def test_whoever_is_given_a_role_that_asks_for_it_signs_in_anew(app, client, station, ivan, admin):
    second_step.demand_of({"manager"}, by=admin.id)
    sign_in(client, ivan)
    people.set_role(ivan.id, station.id, "manager", by=admin.id)
    assert client.get(BOARD).status_code == 303
    assert waits(ivan)


def test_an_admin_takes_it_from_somebody_who_lost_the_phone(app, client, station, olga, ivan, admin, codes):
    at_work = sign_in(app.test_client(), olga)
    assert (
        sign_in(app.test_client(), olga).post(f"/manage/zimnyaya-5/staff/{olga.id}/second-step/reset").status_code
        == 403
    )
    sign_in(client, admin)
    assert "Снять второй шаг" in client.get("/manage/zimnyaya-5/staff").text
    assert client.post(f"/manage/zimnyaya-5/staff/{olga.id}/second-step/reset").status_code == 303
    assert at_work.get(BOARD).status_code == 303
    assert not accounts.sign_in(olga.email, PASSWORD, "192.0.2.7").waits
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "second_step_off")).one()
    assert (entry.user_id, entry.label) == (admin.id, "Ольга")


def test_the_command_line_is_the_last_way_back(app, olga, codes):
    run = app.test_cli_runner()
    assert run.invoke(args=["user", "reset-second-step", "nobody@example.com"]).exit_code == 1
    done = run.invoke(args=["user", "reset-second-step", "OLGA@example.com"])
    assert done.exit_code == 0 and "password alone" in done.output
    assert not accounts.sign_in(olga.email, PASSWORD, "192.0.2.7").waits
