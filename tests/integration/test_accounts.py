"""Signing in and out: who gets in, for how long, how often one may guess, and what a stolen cookie is worth."""

import re
import time
from datetime import timedelta
from statistics import median
from urllib.parse import urlsplit

import pytest
from argon2 import PasswordHasher
from flask import Response
from sqlalchemy import func, select, update

from tests import factories
from tests.conftest import ON_ONE_DATABASE, TRIALS
from tests.factories import MONDAY, PASSWORD, sign_in
from tirefit import accounts, create_app, password_reset
from tirefit.database import command, db
from tirefit.errors import (
    EmailInvalid,
    EmailTaken,
    PasswordGuessable,
    PasswordUnfit,
    TooManyAttempts,
    UnknownStation,
    WrongCredentials,
)
from tirefit.models import LoginAttempt, User, UserRole, UserSession
from tirefit.web.account import local_path
from tirefit.web.remembered import Remembered, keep, recall

BOARD = "/board/zimnyaya-5/2026-11-02"


def log_in(client, email="olga@example.com", password=PASSWORD, **kwargs):
    return client.post("/login", data={"email": email, "password": password}, **kwargs)


def sessions():
    return db.session.scalar(select(func.count()).select_from(UserSession))


@command
def switch_off(user):
    db.session.execute(update(User).where(User.id == user.id).values(active=False))


def test_olga_signs_in_and_comes_back_to_the_page_she_asked_for(client, olga):
    asked = client.get(f"{BOARD}?view=list")
    assert asked.status_code == 303
    assert asked.location == "/login?next=/board/zimnyaya-5/2026-11-02?view%3Dlist"

    answer = log_in(client, query_string={"next": f"{BOARD}?view=list"})

    assert (answer.status_code, answer.location) == (303, f"{BOARD}?view=list")
    assert client.get(BOARD).status_code == 200


def test_the_email_may_be_written_in_capitals_and_the_password_in_another_unicode_form(client, station):
    accounts.add_user("zoe@example.com", "staff", [station.slug], password="caf\u00e9 et croissant")

    assert log_in(client, "  ZOE@Example.com ", "cafe\u0301 et croissant").status_code == 303


def test_the_cookie_holds_a_new_token_each_time_and_the_table_only_its_hash(client, olga):
    log_in(client)
    with client.session_transaction() as session:
        first = session["user"]
    log_in(client)
    with client.session_transaction() as session:
        second = session["user"]

    hashes = db.session.scalars(select(UserSession.token_hash)).all()
    assert first != second
    assert len(first) == 22
    assert first not in hashes
    assert sessions() == 1, "the session of before has ended"


def test_the_cookie_is_kept_from_scripts_and_other_sites(client, olga):
    cookie = log_in(client).headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie, "this is plain http"


def test_over_https_the_cookie_belongs_to_this_host_alone(tmp_path, new_database):
    app = create_app(TESTING=True, INSTANCE_PATH=str(tmp_path), DATABASE_URL=new_database("sqlite"), HTTPS=True)
    with app.app_context():
        factories.user("Ольга", "olga@example.com", "admin")
        db.engine.dispose()

    cookie = app.test_client().get("/login", base_url="https://tirefit.test").headers["Set-Cookie"]

    assert cookie.startswith("__Host-tirefit=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_signing_out_ends_the_session_for_a_copied_cookie_too(app, client, olga):
    log_in(client)
    thief = app.test_client()
    thief.set_cookie("tirefit", client.get_cookie("tirefit").value)
    assert thief.get(BOARD).status_code == 200

    answer = client.post("/logout")

    assert (answer.status_code, answer.location) == (303, "/login")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert thief.get(BOARD).location.startswith("/login")
    assert sessions() == 0


@pytest.mark.parametrize(("hours", "opens"), [(7.9, True), (8, False)])
def test_a_session_ends_after_eight_idle_hours(client, olga, at, hours, opens):
    sign_in(client, olga)
    at(MONDAY + timedelta(hours=hours))

    assert (client.get(BOARD).status_code == 200) is opens


@pytest.mark.parametrize(("hours", "opens"), [(11.9, True), (12, False)])
def test_a_session_ends_after_twelve_hours_however_busy(client, olga, at, hours, opens):
    sign_in(client, olga)
    for hour in (4, 8, 11):
        at(MONDAY + timedelta(hours=hour))
        assert client.get(BOARD).status_code == 200
    at(MONDAY + timedelta(hours=hours))

    assert (client.get(BOARD).status_code == 200) is opens


def test_a_closed_account_is_out_at_its_next_request(client, olga):
    sign_in(client, olga)
    assert client.get(BOARD).status_code == 200

    switch_off(olga)

    assert client.get(BOARD).location.startswith("/login")
    assert log_in(client).status_code == 422


@pytest.mark.parametrize("cookie", ["", "x" * 22, "not-a-cookie", "\u0442"])
def test_a_made_up_cookie_opens_nothing(client, olga, cookie):
    with client.session_transaction() as session:
        session["user"] = cookie
    assert client.get(BOARD).location.startswith("/login")

    with client.session_transaction() as session:
        session["user"] = ["a", "list"]
    assert client.get(BOARD).location.startswith("/login")


def test_a_wrong_password_and_an_unknown_person_read_alike(client, olga):
    wrong = log_in(client, password="не тот пароль")
    unknown = log_in(client, "olga@example.org")

    assert wrong.status_code == unknown.status_code == 422
    assert wrong.text.replace("olga@example.com", "…") == unknown.text.replace("olga@example.org", "…")
    assert "Email или пароль не подходят" in wrong.text


def seconds(email, password="not this one at all"):
    begin = time.perf_counter()
    with pytest.raises(WrongCredentials):
        accounts.sign_in(email, password, "203.0.113.1")
    return time.perf_counter() - begin


@ON_ONE_DATABASE
def test_a_wrong_password_and_an_unknown_person_take_the_same_time(station, at):
    """A hundred pairs on an idle machine tell a tenth; five beside other tests only whether a hash was left out."""
    count, typical, least, most = (100, median, 0.9, 1.1) if TRIALS else (5, min, 0.6, 1.6)
    accounts.add_user("real@example.com", "staff", [station.slug], password="a quite long password")
    pairs = []
    for n in range(count):
        at(MONDAY + timedelta(hours=2 * n))  # or both would soon be refused without a hash
        pairs.append((seconds("real@example.com"), seconds("nobody@example.com")))
    real, nobody = map(typical, zip(*pairs, strict=True))

    assert least < real / nobody < most


def test_the_eleventh_try_is_refused_even_with_the_right_password(client, olga, at):
    for _ in range(10):
        assert log_in(client, password="guess").status_code == 422

    refused = log_in(client)

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "300"
    assert "Попробуйте через 5 минут" in refused.text
    at(MONDAY + timedelta(minutes=5))
    assert log_in(client).status_code == 303


def test_fifty_addresses_against_one_account_get_ten_tries(olga):
    refused = 0
    for n in range(50):
        try:
            accounts.sign_in(olga.email, "guess", f"203.0.113.{n}")
        except WrongCredentials:
            continue
        except TooManyAttempts:
            refused += 1

    assert refused == 40
    with pytest.raises(TooManyAttempts):
        accounts.sign_in(olga.email, PASSWORD, "198.51.100.1")


def test_one_address_against_fifty_accounts_gets_ten_tries_and_others_are_let_in(olga):
    refused = 0
    for n in range(50):
        try:
            accounts.sign_in(f"person{n}@example.com", "guess", "2001:db8::1")
        except WrongCredentials:
            continue
        except TooManyAttempts:
            refused += 1

    assert refused == 40
    with pytest.raises(TooManyAttempts):  # the same household
        accounts.sign_in(olga.email, PASSWORD, "2001:db8::ffff")
    assert accounts.sign_in(olga.email, PASSWORD, "2001:db8:0:1::1")


def test_the_right_password_clears_the_count_of_the_account(client, olga):
    for _ in range(9):
        log_in(client, password="guess")
    assert log_in(client).status_code == 303

    assert log_in(client, password="guess").status_code == 422


@pytest.fixture
def quick_hash(monkeypatch):
    """For crowds of guesses: a real hash, only quick."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", hasher)
    monkeypatch.setattr(accounts, "_nobody", hasher.hash("nobody's"))


def twenty_wrong(email, at):
    """From networks of all the world, and never ten within five minutes."""
    for n in range(20):
        at(MONDAY + timedelta(minutes=3 * n))
        with pytest.raises(WrongCredentials):
            accounts.sign_in(email, "guess", f"203.0.113.{n}")
    at(MONDAY + timedelta(hours=4))


def test_after_twenty_wrong_passwords_in_a_day_only_a_link_lets_in_and_the_page_says_so(client, olga, at, quick_hash):
    twenty_wrong(olga.email, at)

    for _ in range(2):
        refused = log_in(client)
        assert refused.status_code == 429 and "Получите ссылку письмом" in refused.text
        assert 'href="/password"' in refused.text and sessions() == 0
    at(MONDAY + timedelta(hours=23, minutes=59))
    assert log_in(client).status_code == 429
    at(MONDAY + timedelta(days=1))
    assert log_in(client).status_code == 303


def test_a_password_chosen_by_the_link_lets_in_at_once_whatever_a_stranger_tried(client, olga, at, quick_hash):
    twenty_wrong(olga.email, at)
    assert log_in(client).status_code == 429

    link = f"/password/{password_reset.link_for(olga.email)}"
    assert client.post(link, data={"password": "зимняя резина"}).location == "/login"

    assert log_in(client, password="зимняя резина").status_code == 303


def test_the_right_password_clears_the_count_of_the_day(olga, at, quick_hash):
    for day in range(3):
        for n in range(19):
            at(MONDAY + timedelta(hours=day, minutes=3 * n))
            with pytest.raises(WrongCredentials):
                accounts.sign_in(olga.email, "guess", f"203.0.113.{n}")
        assert accounts.sign_in(olga.email, PASSWORD, "203.0.113.99")


def test_who_has_no_account_is_told_the_same_after_twenty_and_gets_in_when_there_is_one(
    app, station, olga, at, quick_hash
):
    twenty_wrong("nobody@example.com", at)
    at(MONDAY)
    twenty_wrong(olga.email, at)
    told = [log_in(app.test_client(), email).text for email in (olga.email, "nobody@example.com")]
    assert told[0].replace(olga.email, "…") == told[1].replace("nobody@example.com", "…")

    accounts.add_user("nobody@example.com", "staff", [station.slug], password=PASSWORD)

    assert accounts.sign_in("nobody@example.com", PASSWORD, "203.0.113.99")


def test_a_refused_try_does_not_prolong_the_wait(olga, at):
    for minutes in range(4):
        at(MONDAY + timedelta(minutes=minutes))
        for _ in range(20):
            with pytest.raises((WrongCredentials, TooManyAttempts)):
                accounts.sign_in(olga.email, "guess", "203.0.113.1")
    at(MONDAY + timedelta(minutes=5))

    assert accounts.sign_in(olga.email, PASSWORD, "203.0.113.1")


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("", ""),
        ("olga@example.com", ""),
        ("", PASSWORD),
        ("olga@example.com", "x" * 10_000),
        ("olga@example.com", "nul\0byte inside it"),
        ("ol\0ga@example.com", PASSWORD),
        ("x" * 10_000 + "@example.com", PASSWORD),
        ("' OR 1=1 --", "' OR 1=1 --"),
        ("{{7*7}}", "<script>alert(1)</script>"),
        ("olga@example.com\r\nBcc: x@example.com", PASSWORD),
        ("\u202eolga@example.com", PASSWORD),
    ],
)
def test_what_cannot_be_right_is_refused_in_words(client, olga, email, password):
    answer = log_in(client, email, password)

    assert answer.status_code == 422
    assert "errsum" in answer.text
    assert not password or password not in answer.text
    assert sessions() == 0


def test_a_password_of_ten_thousand_characters_costs_no_slow_hash(olga):
    of_ten_thousand = min(seconds(olga.email, "x" * 10_000) for _ in range(3))
    assert db.session.scalar(select(func.count()).select_from(LoginAttempt)) == 0

    assert of_ten_thousand < min(seconds("nobody@example.com") for _ in range(3)) / 2


@pytest.mark.parametrize("field", ["email", "password"])
def test_a_field_sent_twice_counts_once(client, olga, field):
    data = {"email": "olga@example.com", "password": PASSWORD}
    data[field] = [data[field], "something else"]

    assert client.post("/login", data=data).status_code == 303


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https:evil.example",
        "https://evil.example/board",
        "javascript:alert(1)",
        "%2f%2fevil.example",
        "@evil.example",
        "evil.example",
        "/board\r\nSet-Cookie: a=b",
        " /board",
        "/\t/evil.example",
        "",
    ],
)
def test_nobody_is_sent_to_another_site_after_signing_in(client, olga, address):
    assert local_path(address) is None

    assert log_in(client, query_string={"next": address}).location == "/board"


def test_whoever_is_signed_in_does_not_see_the_form(client, olga):
    sign_in(client, olga)

    assert client.get("/login").location == "/board"


def test_the_form_is_refused_without_its_token(app, client, olga):
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        assert log_in(client).status_code == 400
        assert client.post("/logout").status_code == 400
    finally:
        app.config["WTF_CSRF_ENABLED"] = False


def test_a_new_account_gets_a_password_that_is_told_once(station):
    password = accounts.add_user(" Petro@Example.com", "manager", [station.slug])

    user = db.session.scalars(select(User)).one()
    assert (user.email, user.name) == ("petro@example.com", "petro")
    assert password not in user.password_hash
    assert user.password_hash.startswith("$argon2id$")
    assert accounts.role_at(user, station.id) == "manager"
    assert accounts.sign_in("petro@example.com", password, "203.0.113.1")


@pytest.mark.parametrize(
    ("email", "role", "slugs", "password", "refusal"),
    [
        ("petro@example.com", "staff", ["zimnyaya-5"], "too short", PasswordUnfit),
        ("petro@example.com", "staff", ["zimnyaya-5"], "x" * 257, PasswordUnfit),
        ("petro@example.com", "staff", [], "", UnknownStation),
        ("petro@example.com", "staff", ["zimnyaya-5", "nowhere"], "", UnknownStation),
        ("OLGA@example.com", "staff", ["zimnyaya-5"], "", EmailTaken),
        ("petro", "staff", ["zimnyaya-5"], "", EmailInvalid),
        ("pe\0tro@example.com", "staff", ["zimnyaya-5"], "", EmailInvalid),
    ],
)
def test_an_account_that_cannot_be_is_refused(olga, email, role, slugs, password, refusal):
    with pytest.raises(refusal):
        accounts.add_user(email, role, slugs, password=password)

    assert db.session.scalar(select(func.count()).select_from(User)) == 1


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "qwertyuiop12",
        "йцукенгшщзхъ",  # the same row of keys
        "123456789012",
        "aaaaaaaaaaaa",
        "шиномонтаж123",
        "petro@example.com",
        "petropetro12",
    ],
)
def test_what_is_guessed_first_is_no_password(station, password):
    with pytest.raises(PasswordGuessable):
        accounts.add_user("petro@example.com", "staff", [station.slug], password=password)


@pytest.mark.parametrize(
    "password", ["a quite long password", "зимняя резина", "xkt9fqm2hbd7", "п" * 12 + " — " + "ж9" * 120]
)
def test_a_password_needs_no_digits_nor_signs_and_may_be_long(station, password):
    accounts.add_user("petro@example.com", "staff", [station.slug], password=password)

    assert accounts.sign_in("petro@example.com", password, "203.0.113.1")


def test_the_command_line_makes_an_account_and_says_what_it_did(app, client, olga):
    run = app.test_cli_runner().invoke

    made = run(args=["user", "add", "petro@example.com", "--role", "staff", "--station", "zimnyaya-5"])
    assert made.exit_code == 0, made.output
    link = urlsplit(made.output.split()[-1]).path
    assert client.get(link).status_code == 200
    assert client.post(link, data={"password": "зимняя резина"}).location == "/login"
    assert accounts.sign_in("petro@example.com", "зимняя резина", "203.0.113.1")
    assert client.get(link).status_code == 410, "once"

    asked = run(args=["user", "add", "a@example.com", "--role", "admin", "--ask-password"], input="twelve signs\n" * 2)
    assert asked.exit_code == 0, asked.output
    assert "twelve signs" not in asked.output
    assert db.session.scalar(select(UserRole.role).where(UserRole.service_point_id.is_(None))) == "admin"

    easy = run(args=["user", "add", "b@example.com", "--role", "admin", "--ask-password"], input="password1234\n" * 2)
    assert (easy.exit_code, "easily guessed" in easy.output) == (1, True)

    lost = run(args=["user", "password-link", "olga@example.com"])
    assert client.get(urlsplit(lost.output.split()[-1]).path).status_code == 200
    nobody = run(args=["user", "password-link", "nobody@example.com"])
    assert (nobody.exit_code, "Nobody signs in as nobody@example.com." in nobody.output) == (1, True)

    twice = run(args=["user", "add", "olga@example.com", "--role", "admin"])
    assert (twice.exit_code, "has an account already" in twice.output) == (1, True)
    nowhere = run(args=["user", "add", "b@example.com", "--role", "staff", "--station", "nowhere"])
    assert (nowhere.exit_code, "No such station: nowhere" in nowhere.output) == (1, True)


@ON_ONE_DATABASE
def test_after_a_change_of_the_key_all_goes_on_while_the_old_one_is_a_fallback(app, client, station, olga, tmp_path):
    """A session, a form that stands open, a phone that remembers its customer; without the old key they end."""
    old, new = app.config["SECRET_KEY"], "the new key, which is long enough too"
    sign_in(client, olga)
    form = hidden_fields(client.get("/manage/posts"))
    remembered = Remembered("Анна", "+380671234567", "", 1, (1,), station.slug)
    with app.test_request_context():
        keep(answer := Response(), remembered)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def after_the_change(*fallbacks: str):
        settings = {"DATABASE_URL": app.config["DATABASE_URL"], "INSTANCE_PATH": str(tmp_path)}
        changed = create_app(TESTING=True, SECRET_KEY=new, SECRET_KEY_FALLBACKS=fallbacks, **settings)
        browser = changed.test_client()
        browser.set_cookie("tirefit", client.get_cookie("tirefit").value)
        with changed.test_request_context(headers={"Cookie": cookie}):
            recalled = recall()
        return browser.get(BOARD).status_code, browser.post("/logout", data=form).status_code, recalled == remembered

    assert after_the_change() == (303, 400, False)
    assert after_the_change("some other key that never signed anything") == (303, 400, False)
    assert after_the_change(old) == (200, 303, True)


def hidden_fields(page) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
