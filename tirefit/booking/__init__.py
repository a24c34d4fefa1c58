"""Bookings: minutes and price, the choice of a time, and every change of a booking. Knows no web and no mail server."""
