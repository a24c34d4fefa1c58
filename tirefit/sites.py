"""Sites of a station: those that may show its booking pages in a frame, and read what is free from a browser."""

import re
from urllib.parse import urlsplit

from tirefit import audit
from tirefit.database import command, db
from tirefit.errors import OriginInvalid
from tirefit.models import ServicePoint

MOST = 20
AN_ORIGIN = re.compile(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")


@command
def save_sites(point_id: int, addresses: list[str], *, user_id: int | None = None) -> list[str]:
    """Let these sites, and no others, show the station's widget; → their origins. An empty list switches it off.

    Raises OriginInvalid, with the address that is none.
    """
    point = db.session.get_one(ServicePoint, point_id, with_for_update=True)
    origins = list(dict.fromkeys(origin_of(address) for address in addresses))
    if len(origins) > MOST:
        raise OriginInvalid(address=addresses[MOST])
    before, point.web_origins = point.web_origins, origins
    audit.record(
        *("sites_changed", "sites", point_id),
        point_id=point_id,
        user_id=user_id,
        before={"web_origins": before},
        after={"web_origins": origins},
    )
    return origins


def origin_of(address: str) -> str:
    """What a browser calls the site of an address: https://shop.example. Raises OriginInvalid."""
    try:
        parts = urlsplit(address.strip().lower())
        origin = f"{parts.scheme}://{parts.netloc.encode('idna').decode()}"
    except ValueError:
        raise OriginInvalid(address=address) from None
    if not AN_ORIGIN.fullmatch(origin):
        raise OriginInvalid(address=address)
    return origin
