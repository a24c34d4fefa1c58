"""What a phone fetches before its owner can choose a time."""

import gzip
import re
from urllib.parse import urlsplit

from tests.conftest import ON_ONE_DATABASE
from tests.factories import car_type, service

MOST = 80 * 1024  # bytes over the air


@ON_ONE_DATABASE
def test_the_first_page_weighs_little_with_all_that_it_needs(client, station):
    page = client.get(f"/s/zimnyaya-5?svc={service().id}&car={car_type().id}")
    assert page.status_code == 200
    needed = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text))
    for sheet in [each for each in needed if urlsplit(each).path.endswith(".css")]:
        with client.get(sheet) as styles:
            needed |= set(re.findall(r"""url\(["']?(/static/[^"')#]+)""", styles.text))
    assert {urlsplit(each).path.rpartition(".")[2] for each in needed} >= {"css", "js", "svg"}

    weights = {each: over_the_air(client, each) for each in needed}

    whole = len(gzip.compress(page.data)) + sum(weights.values())
    assert whole <= MOST, (whole, weights)


def over_the_air(client, address) -> int:
    with client.get(address) as answer:
        assert answer.status_code == 200
        packed = answer.mimetype.startswith(("font", "image/png"))
        return len(answer.data if packed else gzip.compress(answer.data))
