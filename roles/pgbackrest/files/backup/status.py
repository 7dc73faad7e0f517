"""What is to be known of the backups, as one JSON object: for playbooks/backup/status.yml and for monitoring."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import rehearsal
import server
from meaning import meaning
from repository import INFO, OTHER, PATIENCE, PgBackRest, parse
from settings import Settings

ARCHIVER = """
SELECT pg_is_in_recovery(), last_archived_wal, extract(epoch FROM now() - last_archived_time)::bigint, failed_count,
       coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL)
  FROM pg_stat_archiver
"""


def status(settings: Settings, pgbackrest: PgBackRest) -> None:
    """Print the newest backup of each type by repository, the archiver's state on the leader, and the last rehearsal."""
    # Not `pgbackrest.info`: one repository that does not answer hides nothing of the others.
    info = parse(pgbackrest.must(PATIENCE, *INFO))
    answer: dict[str, object] = {"stanza": settings.stanza, "running": info.running, "repositories": []}
    for repository in info.repositories:
        newest = {it.kind: asdict(it) | {"hours": round((time.time() - it.stopped) / 3600, 1)} for it in info.of(repository.key)}
        said = f"cannot be read: {meaning(repository.message)}" if repository.code == OTHER else repository.message
        answer["repositories"] += [asdict(repository) | {"message": said, "newest": newest, "backups": len(info.of(repository.key))}]
    try:
        ((standby, wal, seconds, failures, failing),) = server.ask(settings, ARCHIVER)
        answer["leader"] = standby == "f"
        answer["archiver"] = {"last": wal, "seconds_ago": int(seconds or 0), "failures": int(failures), "failing": failing == "t"}
    except server.NotRunning as reason:
        answer["archiver"] = {"error": str(reason)}
    answer["rehearsal"] = json.loads(rehearsal.RESULT.read_text()) if rehearsal.RESULT.exists() else None
    print(json.dumps(answer))
