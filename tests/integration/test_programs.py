"""What a manager gives to programs and sites: tokens, and the widget on the station's own site."""

import re

import pytest

from tests.factories import booking, car_type, service, sign_in
from tirefit import sites, tokens
from tirefit.database import db
from tirefit.errors import OriginInvalid
from tirefit.models import ServicePoint
from tirefit.schedule.reservations import new_token

HERE = "/manage/zimnyaya-5/api"
SITE = "https://shop.example"


def test_a_manager_makes_a_token_sees_it_once_and_revokes_it(client, station, olga, stranger):
    sign_in(client, olga)

    made = client.post(f"{HERE}/tokens", data={"name": "Касса", "role": "staff"})
    token = re.search(r"tf_[A-Za-z0-9_-]{22}", made.text)[0]
    page = client.get(HERE)

    assert tokens.bearer_of(token).role_at(station.id) == "staff"
    assert tokens.bearer_of(token).role_at(stranger.roles[0].service_point_id) is None
    assert "Касса" in page.text and token not in page.text
    client.post(re.search(rf'action="({HERE}/tokens/[0-9]+/revoke)"', page.text)[1])
    assert tokens.bearer_of(token) is None
    assert "Касса" not in client.get(HERE).text
    assert client.post(f"{HERE}/tokens", data={"name": "\x00", "role": "staff"}).status_code == 422
    assert client.post(f"{HERE}/tokens", data={"name": "x", "role": "admin"}).status_code == 422


def test_a_token_of_another_station_is_not_revoked_from_here(client, station, olga, stranger):
    token = tokens.make_token(stranger.id, stranger.roles[0].service_point_id, "staff", name="чужой")
    sign_in(client, olga)

    for token_id in (1, 2**31, 0):
        client.post(f"{HERE}/tokens/{token_id}/revoke")

    assert tokens.bearer_of(token) is not None


def test_only_listed_sites_show_the_widget(client, station, olga):
    def ancestors():
        answer = client.get("/embed/zimnyaya-5")
        assert "X-Frame-Options" in answer.headers or "'none'" not in answer.headers["Content-Security-Policy"][-80:]
        return re.search(r"frame-ancestors ([^;]+)", answer.headers["Content-Security-Policy"])[1]

    assert ancestors() == "'none'"
    sign_in(client, olga)
    sent = {"sites": f"{SITE}/contacts?x=1\n https://шини.example\n{SITE}"}
    assert client.post(f"{HERE}/sites", data=sent).status_code == 303
    assert ancestors() == f"{SITE} https://xn--h1aao6b.example"
    assert SITE in client.get(HERE).text
    for wrong in (
        "shop.example",
        "javascript:alert(1)",
        "https://",
        "https://*",
        "https://a b",
        "x" * 5000,
        SITE + "\n" * 3 + "ftp://a",
    ):
        assert client.post(f"{HERE}/sites", data={"sites": wrong}).status_code == 422, wrong
    assert (
        client.post(f"{HERE}/sites", data={"sites": " ".join(f"https://{n}.example" for n in range(21))}).status_code
        == 422
    )
    client.post(f"{HERE}/sites", data={"sites": ""})
    assert ancestors() == "'none'"
    with pytest.raises(OriginInvalid):
        sites.save_sites(station.id, ["x"])


def test_the_widget_reads_and_sets_no_cookie_and_changes_nothing(client, station):
    """From services to a time; the time itself is a link into a window of its own."""
    token = new_token()
    booking(station, "12:00", token=token)
    client.get(f"/b/{token}")  # this browser could open the booking
    client.set_cookie("lang", "uk")
    start = client.get("/embed/zimnyaya-5")
    times = client.get(f"/embed/zimnyaya-5?svc={service().id}&car={car_type().id}&d=2026-11-03")
    changed = client.get(f"/embed/zimnyaya-5?svc={service().id}&car={car_type().id}&edit=1")

    for page in (start, times, changed):
        assert page.status_code == 200
        assert "Set-Cookie" not in page.headers
        assert 'method="post"' not in page.text and "<script" not in page.text and "/b/" not in page.text
    assert "Запись на шиномонтаж" in start.text
    onward = re.findall(r'class="time" href="([^"]+)" target="_blank" rel="noopener"', times.text)
    assert len(onward) > 10
    assert client.get(onward[0].replace("&amp;", "&")).status_code == 200
    assert client.get("/embed/zimnyaya-5?lang=uk").status_code == 200
    assert client.get("/embed/nowhere").status_code == 404


def test_a_calendar_follows_a_post_until_it_is_revoked(client, station, olga):
    mine = booking(station, "10:00", plate="АА 1234 ВС")
    other = booking(station, "10:00")
    assert mine.service_post_id != other.service_post_id
    sign_in(client, olga)

    made = client.post(f"{HERE}/feeds", data={"post": str(mine.post.post_number)}).text
    address = re.search(r"/feeds/[A-Za-z0-9_-]{22}/calendar\.ics", made)[0]
    calendar = client.get(address)

    assert calendar.mimetype == "text/calendar"
    assert calendar.text.count("BEGIN:VEVENT") == 1 and mine.number in calendar.text
    assert "АА 1234 ВС" in calendar.text
    assert "Анна" not in calendar.text and "671234567" not in calendar.text
    page = client.get(HERE).text
    assert address not in page
    client.post(re.search(rf'action="({HERE}/feeds/[0-9]+/revoke)"', page)[1])
    assert client.get(address).status_code == 404
    of_all = client.post(f"{HERE}/feeds", data={"post": "x"}).text
    whole = re.search(r"/feeds/[A-Za-z0-9_-]{22}/calendar\.ics", of_all)[0]
    assert client.get(whole).text.count("BEGIN:VEVENT") == 2


def test_a_closed_station_says_so_in_the_frame_too(client, station):
    from tirefit.database import command

    @command
    def close():
        db.session.get_one(ServicePoint, station.id).active = False

    close()
    assert "закрыта" in client.get("/embed/zimnyaya-5").text
