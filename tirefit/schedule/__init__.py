"""Time of posts: hours (windows), the offer cut from them (slots), what is free (availability), who has it
(reservations).

Knows no customer, no letter and no web.
"""
