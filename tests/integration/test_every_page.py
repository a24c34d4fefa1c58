"""Every page that there is, taken from the routes: of a station with weeks behind it, and of one that has nothing yet.

The test client looks at each: whole, valid, one heading, nothing inline, nothing from elsewhere.
"""

from tests.conftest import ON_ONE_DATABASE
from tests.every_page import addresses, things_of_the_demo
from tirefit.database import db
from tirefit.demo import load_demo


@ON_ONE_DATABASE
def test_every_page_shows_itself_whole_with_much_and_with_nothing(app):
    """A new page is in it by itself; a part of an address that no page had is named in tests/every_page.py."""
    logins = {login.email: login.password for login in load_demo()}
    things = things_of_the_demo()
    customer, admin = app.test_client(), app.test_client()
    customer.get(f"/b/{things.links['ticket.open_link']}")
    email = "admin@tirefit.example"
    assert admin.post("/login", data={"email": email, "password": logins[email]}).status_code == 303
    seen = 0
    for client in (customer, admin):
        for name, address in addresses(app, things, for_customers=client is customer):
            db.session.rollback()
            answer = client.get(address, follow_redirects=True)
            assert (answer.status_code, answer.mimetype) == (200, "text/html"), name
            assert answer.request.path != "/login" or client is customer, name
            seen += 1
    assert seen > 80
