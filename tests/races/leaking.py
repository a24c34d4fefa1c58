"""The control of test_soak.py: the same program, and each request leaves twenty kilobytes behind."""

from app import app

LEFT = 20 * 1024
left_behind: list[bytes] = []


@app.before_request
def leave_something() -> None:
    left_behind.append(b"x" * LEFT)
