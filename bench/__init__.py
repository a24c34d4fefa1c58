"""`make bench`: what the engine costs beside the least it could cost, at one station and at a thousand.

stage.py fills a database, floor.py repeats a function's own statements through the bare driver, samples.py tells a
figure from noise, questions.py, writing.py and generation.py measure, crowd.py lets 32 clients want one station,
report.py judges and writes bench/results.md.
"""
