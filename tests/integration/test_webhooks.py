"""Webhooks: told with the event or not at all, signed, tried again for a day, and never inside our own network."""

import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select

from tests.conftest import ON_ONE_DATABASE
from tests.factories import booking, kyiv, sign_in
from tirefit import clock, leases
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.links import find_by_token
from tirefit.booking.privacy import forget
from tirefit.booking.states import CUSTOMER, USER
from tirefit.booking.steps import cancel_booking, restore_booking, transition_booking, undo_transition
from tirefit.database import command, db
from tirefit.jobs import tasks
from tirefit.models import Booking, Notification, WebhookDelivery, WebhookEndpoint
from tirefit.schedule.reservations import new_token
from tirefit.webhooks import delivery, endpoints, outbox
from tirefit.webhooks.outbox import EVENTS

HERE = "/manage/zimnyaya-5/api/webhooks"
DOCS = Path(__file__).parents[2] / "docs" / "api.md"


class Listener:
    """A program elsewhere: what it was told, and what it answers."""

    def __init__(self) -> None:
        listener, self.told, self.status, self.headers, self.seconds = self, [], 204, {}, 0.0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.told.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(listener.status)
                for name, value in listener.headers.items():
                    self.send_header(name, value)
                self.flush_headers()
                until = time.perf_counter() + listener.seconds
                while time.perf_counter() < until:  # a header for ever: each byte comes in time
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
                self.end_headers()
                self.wfile.write(b"\n thank \x00\xff  you\n")

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # whoever asks may hang up
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks?a=b"

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(body) for _, _, body in self.told]

    @property
    def types(self) -> list[str]:
        return [body["type"] for body in self.bodies]


@pytest.fixture
def listener(app, monkeypatch) -> Iterator[Listener]:
    monkeypatch.setitem(app.config, "WEBHOOKS_INTERNAL", True)
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def endpoint(station, listener) -> WebhookEndpoint:
    return endpoints.add_endpoint(station.id, listener.url, EVENTS, new_token(), internal=True)


def rows() -> list[WebhookDelivery]:
    found = select(WebhookDelivery).order_by(WebhookDelivery.id).execution_options(populate_existing=True)
    return list(db.session.scalars(found))


def test_what_happens_to_a_booking_is_told_once_and_signed(app, station, listener, endpoint):
    """And verified as docs/api.md says."""
    example: dict = {}
    exec(re.search(r"```python\n(.+?)```", DOCS.read_text(), re.DOTALL)[1], example)
    token = new_token()
    made = booking(station, "12:00", token=token)
    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("2026-11-03 15:00"))
    for event in ("arrive", "start", "complete"):
        transition_booking(made.id, event)
    undo_transition(made.id)
    other = booking(station, "14:00")
    cancel_booking(other.id, actor=USER)
    restore_booking(other.id, actor=USER)
    transition_booking(other.id, "no_show")

    assert tasks.deliver_webhooks() == 10
    assert tasks.deliver_webhooks() == 0
    assert listener.types == [
        *("booking.created", "booking.moved", "booking.arrived", "booking.started", "booking.completed"),
        *("booking.changed", "booking.created", "booking.cancelled", "booking.restored", "booking.no_show"),
    ]
    moved = listener.bodies[1]
    shown = re.search(r"## Webhooks.+?```json\n(.+?)```", DOCS.read_text(), re.DOTALL)[1]
    assert moved | {"data": moved["data"] | {"number": "K7M4QX"}} == json.loads(shown) | {
        "timestamp": clock.now().isoformat()
    }
    assert [body["data"]["version"] for body in listener.bodies[:6]] == [1, 2, 3, 4, 5, 6]
    path, headers, body = listener.told[0]
    secret = endpoints.secret_of(station.id, endpoint.seed, app.config["SECRET_KEY"])
    example["time"] = clock_of_the_tests = type("time", (), {"time": lambda: clock.now().timestamp()})
    assert path == "/hooks?a=b" and headers["content-type"] == "application/json"
    assert example["is_ours"](secret, headers, body)
    assert not example["is_ours"](secret, headers, body + b" ")
    assert not example["is_ours"](secret, headers | {"webhook-id": "msg_other"}, body)
    assert not example["is_ours"](endpoints.secret_of(station.id, new_token(), app.config["SECRET_KEY"]), headers, body)
    clock_of_the_tests.time = lambda: clock.now().timestamp() + 301
    assert not example["is_ours"](secret, headers, body)
    whole = b"".join(body for _, _, body in listener.told).decode()
    assert made.customer_name not in whole and "671234567" not in whole and token not in whole
    assert secret not in str([vars(row) for row in (*rows(), endpoint)])


@ON_ONE_DATABASE
def test_while_the_key_is_changed_the_old_secret_and_the_new_one_verify(app, station, listener, endpoint, monkeypatch):
    def signatures(*fallbacks):
        monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", fallbacks)
        endpoints.send_test(endpoint.id)
        assert tasks.deliver_webhooks() == 1
        return listener.told[-1][1]["webhook-signature"].split(" "), listener.told[-1]

    def made_with(key, told):
        secret = endpoints.secret_of(station.id, endpoint.seed, key)
        return delivery.signed_headers([secret], told[1]["webhook-id"], told[2])["webhook-signature"]

    old, new = app.config["SECRET_KEY"], "the new key, which is long enough too"
    monkeypatch.setitem(app.config, "SECRET_KEY", new)
    given, told = signatures(old)
    assert given == [made_with(new, told), made_with(old, told)]
    given, told = signatures()
    assert given == [made_with(new, told)]


def test_it_shares_the_fate_of_the_change_and_goes_to_those_who_want_it(station, listener, endpoint, stranger):
    elsewhere = stranger.roles[0].service_point_id
    for about in (
        {"point_id": elsewhere, "events": EVENTS},
        {"point_id": station.id, "events": ["booking.cancelled"]},
    ):
        endpoints.add_endpoint(about["point_id"], listener.url, about["events"], new_token(), internal=True)
    made = booking(station, "10:00")

    @command
    def change_that_fails():
        outbox.write(db.session.get_one(Booking, made.id), "arrive")
        raise RuntimeError("the power goes")

    with pytest.raises(RuntimeError):
        change_that_fails()
    assert [(row.webhook_endpoint_id, row.event) for row in rows()] == [(endpoint.id, "booking.created")]
    endpoints.change_endpoint(endpoint.id, listener.url, EVENTS, active=False, internal=True)
    assert [row.state for row in rows()] == ["cancelled"]
    transition_booking(made.id, "arrive")
    cancel_booking(made.id, actor=USER)
    assert [row.event for row in rows()] == ["booking.created", "booking.cancelled"]
    assert tasks.deliver_webhooks() == 1


def test_what_is_not_taken_is_tried_for_a_day_then_switched_off_and_the_managers_are_told(
    station, listener, endpoint, olga, at
):
    good = Listener()
    endpoints.add_endpoint(station.id, good.url, EVENTS, new_token(), internal=True)
    listener.status, listener.headers = 302, {"Location": good.url}
    booking(station, "2026-11-09 10:00")
    booking(station, "2026-11-09 11:00")

    assert tasks.deliver_webhooks() == 2  # the one that works is told both, the other is asked once
    assert (len(listener.told), len(good.told)) == (1, 2)
    first = rows()[0]
    assert (first.state, first.last_status, first.last_error) == ("pending", 302, "thank \ufffd you")
    assert first.due_at == clock.now() + timedelta(minutes=1)
    at(clock.now() + timedelta(minutes=2))
    listener.status, listener.headers = 503, {}
    tasks.deliver_webhooks()
    at(clock.now() + timedelta(minutes=2))
    tasks.deliver_webhooks()
    assert listener.told[0][2] == listener.told[2][2]  # the same text under the same id
    assert len({headers["webhook-id"] for _, headers, _ in listener.told}) == 2

    @command
    def almost_a_day_later():
        db.session.get_one(WebhookDelivery, first.id, populate_existing=True).attempts = leases.MOST_ATTEMPTS - 1

    almost_a_day_later()
    at(clock.now() + timedelta(hours=24))
    for _ in range(2):  # one that was tried less often comes first
        tasks.deliver_webhooks()
    db.session.refresh(endpoint)
    assert not endpoint.active and endpoint.switched_off_at is not None
    assert sorted(row.state for row in rows()) == ["cancelled", "failed", "sent", "sent"]
    letters = db.session.scalars(select(Notification).where(Notification.kind == "webhook_off")).all()
    assert [(letter.recipient, letter.locale) for letter in letters] == [(olga.email, olga.locale)]
    booking(station, "2026-11-09 12:00")
    assert len(rows()) == 5
    endpoints.change_endpoint(endpoint.id, listener.url, EVENTS, active=True, internal=True)
    listener.status = 410
    booking(station, "2026-11-09 13:00")
    tasks.deliver_webhooks()
    db.session.refresh(endpoint)
    assert not endpoint.active  # it says itself that it is gone
    good.server.shutdown()
    good.server.server_close()


def test_a_sender_that_comes_back_late_changes_nothing(station, endpoint, at):
    booking(station, "10:00")
    late = outbox.claim()
    assert outbox.claim() is None
    at(clock.now() + leases.LEASE)
    present = outbox.claim()

    assert present.id == late.id
    assert not outbox.mark_delivered(late.id, late.lease, 200)
    assert not outbox.retry_later(late.id, late.lease, "late")
    assert outbox.mark_delivered(present.id, present.lease, 200)
    assert not outbox.retry_later(present.id, present.lease, "after all")
    assert [row.state for row in rows()] == ["sent"]


INSIDE = (
    *("127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("[::1]", "[::ffff:127.0.0.1]", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1"),
    *("2130706433", "0x7f.1", "no-such-host.invalid"),
)


@ON_ONE_DATABASE
def test_nothing_inside_our_own_network_is_asked(app, listener):
    for host in INSIDE:
        outcome = delivery.post(f"http://{host}:{listener.server.server_port}/", b"{}", {}, internal=False)

        assert outcome.status is None, host
        assert "our own network" in outcome.words or "no host" in outcome.words, host
    assert listener.told == []


@ON_ONE_DATABASE
def test_nobody_is_waited_for_for_long(app, listener, monkeypatch):
    listener.seconds = 20.0
    began = time.perf_counter()
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "SECONDS", 0.4)
        outcome = delivery.post(listener.url, b"{}", {}, internal=True)

    assert outcome == delivery.Outcome(None, "no answer within 0 seconds")
    assert time.perf_counter() - began < listener.seconds


def _speak_plainly(speaker: socket.socket) -> None:
    with speaker.accept()[0] as heard:
        heard.sendall(b"no TLS here")


@ON_ONE_DATABASE
def test_what_went_wrong_on_the_way_is_told(app, listener):
    with socket.create_server(("127.0.0.1", 0)) as speaker:
        port = speaker.getsockname()[1]
        talk = Thread(target=_speak_plainly, args=[speaker])
        talk.start()
        no_tls = delivery.post(f"https://127.0.0.1:{port}/", b"{}", {}, internal=True)
        talk.join()
    assert no_tls.status is None and "SSL" in no_tls.words
    nobody = delivery.post(f"http://127.0.0.1:{port}/", b"{}", {}, internal=True)
    assert nobody.status is None and "refused" in nobody.words


def test_a_manager_adds_a_webhook_tries_it_and_takes_it_away(client, station, olga, listener):
    sign_in(client, olga)
    page = client.get(HERE)
    seed = re.search(r'name="seed" value="([^"]+)"', page.text)[1]
    sent = {"url": listener.url, "events": ["booking.created", "booking.cancelled"], "seed": seed}
    made = [client.post(HERE, data=sent).text for _ in range(2)]  # a double click
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{44}", made[0])[0]
    (endpoint,) = endpoints.of_station(station)
    own = f"{HERE}/{endpoint.id}"

    assert secret in made[1] and endpoint.events == ["booking.created", "booking.cancelled"]
    assert secret not in client.get(f"{HERE}?of={endpoint.id}").text
    assert client.post(f"{own}/test").status_code == 303
    tasks.deliver_webhooks()
    assert listener.types == ["test"] and listener.bodies[0]["data"] == {"service_point_id": station.id}
    shown = client.get(f"{HERE}?of={endpoint.id}").text
    assert "принято" in shown and "HTTP 204" in shown and "проверка" in shown
    client.post(re.search(rf'action="({own}/deliveries/[0-9]+/resend)"', shown)[1])
    tasks.deliver_webhooks()
    assert listener.told[0][1]["webhook-id"] == listener.told[1][1]["webhook-id"]
    renewed = client.post(f"{own}/secret", data={"seed": new_token()}).text
    assert re.search(r"whsec_[A-Za-z0-9+/=]{44}", renewed)[0] != secret
    changed = client.post(own, data={"url": listener.url, "events": ["booking.moved"]})
    assert changed.status_code == 303
    db.session.refresh(endpoint)
    assert (endpoint.events, endpoint.active) == (["booking.moved"], False)
    assert client.post(f"{own}/deliveries/999/resend").status_code == 404
    assert client.post(f"{own}/remove").status_code == 303
    assert endpoints.of_station(station) == [] and rows() == []
    assert client.post(f"{own}/test").status_code == 404
    for _ in range(endpoints.MOST):
        endpoints.add_endpoint(station.id, listener.url, EVENTS, new_token(), internal=True)
    assert client.post(HERE, data=sent | {"seed": new_token()}).status_code == 409


NO_ADDRESSES = (
    *("", "crm.example", "http://crm.example", "ftp://crm.example", "https://", "https://a:b@crm.example"),
    *("https://crm.example:x", "https://crm.example:0", "https://crm.example/ x", "https://crm.example/\x00"),
    *("https://crm.example/ж", "https://crm.example/" + "x" * 500, "javascript:alert(1)", "https://[::1"),
)


@ON_ONE_DATABASE
def test_what_is_no_address_is_refused(client, station, olga):
    sign_in(client, olga)
    for url in NO_ADDRESSES:
        answer = client.post(HERE, data={"url": url, "events": ["booking.created"]})

        assert answer.status_code == 422 and "Нужен адрес с https://" in answer.text, url
    assert client.post(HERE, data={"url": "https://crm.example"}).status_code == 422
    assert endpoints.of_station(station) == []


def test_what_was_told_is_kept_for_thirty_days_and_names_nobody(station, endpoint, at):
    token = new_token()
    made = booking(station, "10:00", token=token)
    at("2026-11-04 10:00")
    forget(find_by_token(token).id, actor=CUSTOMER)
    assert made.number in rows()[0].body and "Анна" not in rows()[0].body
    at("2026-12-01 10:00")
    assert outbox.sweep() == 0
    at("2026-12-03 10:00")
    tasks.forget_old_customers()
    assert rows() == []
