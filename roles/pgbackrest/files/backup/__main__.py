"""Backups of this cluster: python3 /usr/local/lib/elephant/backup COMMAND. Runs as postgres."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import ensure
import rehearsal
import restore
import schedule
import server
import settings
import standby
import status
import timelines
from repository import BackupError, PgBackRest

COMMANDS = {
    "guard": ensure.guard,
    "ensure": ensure.ensure,
    "schedule": schedule.run,
    "rescue": timelines.rescue,
    "rehearse": rehearsal.rehearse,
    "status": status.status,
    "restore-look": restore.look,
    "restore-plan": restore.plan,
    "restore-flush": restore.flush,
    "restore-mark": restore.mark,
    "restore-bring": restore.bring,
    "restore-clear": restore.clear,
    "restore-lead": restore.lead,
    "restore-finish": restore.finish,
}


def main() -> int:
    """Run one command; answers the exit code."""
    parser = argparse.ArgumentParser(prog="backup", description=__doc__)
    parser.add_argument("command", choices=[*COMMANDS, "take", "restore-settle", "copy"])
    parser.add_argument("--type", choices=["full", "diff", "incr"], default="diff", help="for take: type of the backup")
    parser.add_argument("--unarchived-may-go", action="store_true", help="for restore-settle: what the archive lacks may be lost")
    parser.add_argument("--connstring", default="", help="for copy: of the member that Patroni would copy")
    for given in ("scope", "role", "datadir"):
        parser.add_argument(f"--{given}", default="", help="for copy: Patroni gives it, and it is not needed")
    parser.add_argument("--settings", type=Path, default=settings.PATH)
    arguments = parser.parse_args()
    told = settings.read(arguments.settings)
    pgbackrest = PgBackRest(told.stanza)
    try:
        if arguments.command == "take":
            schedule.now(told, pgbackrest, arguments.type)
        elif arguments.command == "restore-settle":
            restore.settle(told, pgbackrest, arguments.unarchived_may_go)
        elif arguments.command == "copy":
            standby.copy(told, pgbackrest, arguments.connstring)
        else:
            COMMANDS[arguments.command](told, pgbackrest)
    except (BackupError, server.NotRunning) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
