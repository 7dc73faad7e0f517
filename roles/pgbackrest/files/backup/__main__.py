"""Backups of this cluster: python3 /usr/local/lib/elephant/backup COMMAND. Runs as postgres."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import ensure
import schedule
import server
import settings
from repository import BackupError, PgBackRest

COMMANDS = {"guard": ensure.guard, "ensure": ensure.ensure, "schedule": schedule.run}


def main() -> int:
    """Run one command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="backup", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--settings", type=Path, default=settings.PATH)
    arguments = parser.parse_args()
    told = settings.read(arguments.settings)
    try:
        COMMANDS[arguments.command](told, PgBackRest(told.stanza))
    except (BackupError, server.NotRunning) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
