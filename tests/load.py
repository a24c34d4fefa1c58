"""What a suite of load says about itself: one line of JSON with its counts, which `make trials` shows."""

import json

LEAST = 0.7  # of what was planned: a loader that is broken proves nothing


def told(suite: str, database: str, *, planned: int, made: int, **counts: object) -> None:
    """Say what was done; fails when that was hardly a load."""
    line = {suite: database, "planned": planned, "made": made} | counts
    print("\n" + json.dumps(line, ensure_ascii=False), flush=True)
    assert made >= LEAST * planned, f"{suite} on {database}: {made} of {planned} is no load"
