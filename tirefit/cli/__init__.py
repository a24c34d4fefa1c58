"""The command line: `flask <command>`. Commands start processes or call one domain function, and say what happened.

`running` starts TireFit and its parts, `stations` makes and fills them, `people` lets persons and programs in,
`customers` is about their data, `copies` makes and puts back backups, `looks` tells whether all is well.
"""

from flask import Flask

from tirefit.cli import copies, customers, looks, people, running, stations


def init_app(app: Flask) -> None:
    for part in (running, stations, people, customers, copies, looks):
        for command in part.COMMANDS:
            app.cli.add_command(command)
