"""Webhooks: a station's bookings told to programs elsewhere, signed, each event at least once.

endpoints.py: whom a station tells, and of what. outbox.py: what is to be told, written with the event it tells of.
delivery.py: how it travels; the only place that asks an address which somebody else has named.
"""
