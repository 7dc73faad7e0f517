"""The restore itself, in steps of which each can be interrupted and run again. Patroni is stopped and started by the playbook."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import marker
import plan as planning
import server
from meaning import meaning
from repository import BackupError, PgBackRest
from settings import Settings

SCRATCH = Path("/var/lib/pgbackrest/restore")
ABANDON = "If what the archive lacks may be lost: the same command with -e restore_unarchived_may_go=true"
# A private server that only recovers and promotes. It archives to nowhere: the real server archives the new timeline from its beginning.
# Whatever ALTER SYSTEM of the original says is overruled here.
OPTIONS = {
    "archive_cleanup_command": "",
    "archive_command": "",
    "archive_library": "",
    "archive_mode": "on",
    "autovacuum": "off",
    "config_file": str(SCRATCH / "postgresql.conf"),
    "hba_file": str(SCRATCH / "pg_hba.conf"),
    "hot_standby": "off",
    "ident_file": str(SCRATCH / "pg_ident.conf"),
    "lc_messages": "C",
    "listen_addresses": "",
    "log_destination": "stderr",
    "logging_collector": "off",
    "max_logical_replication_workers": "0",
    "port": "5499",
    "primary_conninfo": "",
    "recovery_end_command": "",
    "session_preload_libraries": "",
    "shared_preload_libraries": "",
    "ssl": "off",
    "synchronous_standby_names": "",
    "unix_socket_directories": str(SCRATCH),
}
# What recovery needs as large as the original had it, by the names of pg_controldata.
SIZES = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
    "wal_level setting": "wal_level",
    "track_commit_timestamp setting": "track_commit_timestamp",
}
# Patroni says these; left in postgresql.auto.conf they would outrank it, and a copy of the data would stop at the old target.
OVERRULED = re.compile(r"^\s*(restore_command|recovery_\w+|primary_\w+|promote_trigger_file|archive_\w+)\s*=", re.MULTILINE)


def programs(data: Path) -> Path:
    """PostgreSQL's programs of the version of this data."""
    return Path("/usr/lib/postgresql") / (data / "PG_VERSION").read_text().strip() / "bin"


def running(data: Path) -> bool:
    """Whether a server runs on this data directory."""
    pid = data / "postmaster.pid"
    if not pid.exists():
        return False
    try:
        return Path(f"/proc/{pid.read_text().split()[0]}/cwd").resolve() == data.resolve()
    except (IndexError, OSError):
        return False


def look(settings: Settings, _: PgBackRest) -> None:
    """What the playbook has to know of this member before it decides, as JSON."""
    try:
        leads = server.leads(settings)
    except server.NotRunning:
        leads = False
    # A process, not a state: from 4.1 on Patroni is not `active` before it has found etcd, and begins with PostgreSQL right after.
    shown = ["systemctl", "show", "--property=MainPID", "--value", "patroni.service"]
    manager = subprocess.run(shown, capture_output=True, text=True, check=False).stdout.strip()
    state = {"data": not server.is_blank(settings), "leads": leads, "managed": manager not in ("", "0"), "note": marker.read()}
    print(json.dumps(state))


def plan(settings: Settings, _: PgBackRest) -> None:
    """Print the plan for the request on standard input; nothing is touched."""
    print(json.dumps(planning.plan(settings, planning.read_request(sys.stdin.read()), time.time())))


def flush(settings: Settings, pgbackrest: PgBackRest) -> None:
    """On the leader: all WAL up to now is in every repository. A commit comes last, for a time is only met by a commit after it."""
    if server.leads(settings):
        server.ask(settings, "SELECT pg_current_xact_id()")
        try:
            pgbackrest.must("check")
        except BackupError as error:
            raise BackupError(f"the leader's last WAL is not in the archive: {error}. {ABANDON}") from error


def mark(settings: Settings, _: PgBackRest) -> None:
    """Keep the plan on standard input as this member's note."""
    marker.write(marker.merge(marker.read(), json.loads(sys.stdin.read())) | {"host": settings.name})


def down(settings: Settings) -> Path:
    """No server runs on the data directory, which is answered."""
    data = Path(settings.data_directory)
    for mode in ("fast", "immediate"):
        if running(data):
            stop = [programs(data) / "pg_ctl", "--pgdata", data, "--mode", mode, "--timeout=60", "stop"]
            subprocess.run(stop, check=False, capture_output=True)
    if running(data):
        raise BackupError(f"PostgreSQL still runs on {data}; stop it, then run this again")
    # A server that lost power leaves it behind, and pgBackRest restores nothing where it is.
    (data / "postmaster.pid").unlink(missing_ok=True)
    return data


def settle(settings: Settings, pgbackrest: PgBackRest, abandon: bool = False) -> None:
    """After Patroni has stopped: no server runs on the data, and whole segments that it had not archived are archived."""
    if marker.busy():
        # `bring` of a playbook that was killed; the next one waits until it has ended.
        return
    data, note = down(settings), marker.read()
    if abandon or note is None or note["stage"] != "planned" or note.get("again") or note["config"]:
        return
    for ready in sorted((data / "pg_wal/archive_status").glob("*.ready")):
        done = pgbackrest.run("--no-archive-async", "archive-push", str(data / "pg_wal" / ready.stem))
        said = " ".join((done.stdout + done.stderr).split())
        if done.returncode != 0 and "different checksum" not in said:
            raise BackupError(f"{ready.stem} could not be archived before the old data goes: {meaning(said)}. {ABANDON}")
        print(f"archived {ready.stem}" if done.returncode == 0 else f"{ready.stem} is in the archive with another content, which stays")


def set_aside(settings: Settings, note: dict[str, Any], keep: bool) -> None:
    """The old data gets another name, or goes. Done twice, the second time finds nothing to do."""
    data = Path(settings.data_directory)
    kept = data.with_name(f"{data.name}-before-{note['id']}")
    if kept.exists():
        note["kept"] = str(kept)
    elif not (data.is_dir() and any(data.iterdir())):
        return
    elif keep and not note["kept"]:
        data.rename(kept)
        note["kept"] = str(kept)
    elif note["host"] != note["node"]:
        # Nothing is copied into a tablespace that is not empty.
        for old in (data / "pg_tblspc").glob("*/PG_*"):
            shutil.rmtree(old)
        for inner in data.iterdir():
            shutil.rmtree(inner) if inner.is_dir() and not inner.is_symlink() else inner.unlink()


def bring(settings: Settings, _: PgBackRest) -> None:
    """On the chosen member: its data is that of the plan, promoted, and shut down in order."""
    with marker.alone():
        note = marker.read()
        if note is None or note["node"] != settings.name or note["stage"] in ("recovered", "leading"):
            return
        data, began = down(settings), time.time()
        if note["stage"] == "planned":
            set_aside(settings, note, note["keep"])
            note["stage"] = "restoring"
            marker.write(note)
        if note.get("newest"):
            # Before the old data went, `settle` archived what it had; that may be a whole timeline which the plan did not see.
            note["timeline"] = planning.newest(note, PgBackRest(note["stanza"], note["config"]))
        fetch(note, data)
        note |= recover(note, data) | {"seconds": round(time.time() - began)}
        tidy(data)
        if (meanwhile := marker.read()) is None or meanwhile["id"] != note["id"]:
            # The playbook of this one was killed, and its successor waits for the lock, with a note that begins with what is here.
            raise BackupError(f"{note['goal']} is here, and is not what is wanted any more: another target was given meanwhile")
        note["stage"] = "recovered"
        marker.write(note)
        print(f"{settings.name} is back at {note['reached']}, timeline {note['new_timeline']}, after {note['seconds']} s")
        if note["disabled"]:
            print(f"subscriptions of the original, disabled here: {', '.join(note['disabled'])}")


def fetch(note: dict[str, Any], data: Path) -> None:
    """Bring the files. What an interrupted attempt has brought is used."""
    if not (data / "PG_VERSION").exists() and not (data / "backup.manifest").exists():
        shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = PgBackRest(note["stanza"], note["config"])
    done = source.run(f"--repo={note['repository']}", f"--set={note['label']}", *note["arguments"], "restore")
    if done.returncode != 0:
        raise BackupError(f"the files of {note['label']} could not be restored: {meaning(done.stdout + done.stderr)}")
    # Of another time, or another cluster: the first leader would write it into an empty store.
    (data / "patroni.dynamic.json").unlink(missing_ok=True)


def sizes(data: Path) -> dict[str, str]:
    """Settings that must not be smaller than the original's."""
    text = subprocess.run([programs(data) / "pg_controldata", data], check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: rows[row].strip() for row, name in SIZES.items() if row in rows}


def recover(note: dict[str, Any], data: Path) -> dict[str, Any]:
    """Run the private server until it may write, then stop it. Answers how far it came."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(mode=0o700)
    log, bins = SCRATCH / "server.log", programs(data)
    for name, text in (("postgresql.conf", ""), ("pg_hba.conf", "local all all peer\n"), ("pg_ident.conf", "")):
        (SCRATCH / name).write_text(text)
    # The timeline is said here, because pgBackRest does not take it for the end of a backup, and PostgreSQL's own default is the newest.
    told = OPTIONS | sizes(data) | {"recovery_target_timeline": note["timeline"], "restore_command": asking(note)}
    options = " ".join(f"-c {name}='{value}'" for name, value in told.items())
    start = [bins / "pg_ctl", "--pgdata", data, "--log", log, "--no-wait", f"--options={options}", "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while subprocess.run([bins / "pg_isready", "--quiet", f"--host={SCRATCH}", "--port=5499"], check=False).returncode != 0:
        time.sleep(0.5)
        if time.monotonic() > began + 5 and not running(data):
            raise BackupError(why(note, log.read_text()))
    # A clone would take from a publisher what is the original's, and move its slot on.
    disabled = ask(bins, DISABLE).split() if note["config"] else []
    control = ask(bins, POSITION).split()
    subprocess.run([bins / "pg_ctl", "--pgdata", data, "--mode=fast", "--timeout=3600", "stop"], check=True, capture_output=True)
    text = log.read_text()
    last = re.findall(r"last completed transaction was at log time (.+)", text)
    reached = f"{control[1]}, last commit {last[-1]}" if last else control[1]
    return {"reached": reached, "new_timeline": int(control[0], 16), "disabled": disabled}


def asking(note: dict[str, Any]) -> str:
    """The restore_command. To PostgreSQL any failure up to 125 is the end of the archive, and it promotes; to pgBackRest only 1 is that.

    Of several repositories one that has no more decides for pgBackRest, though another does not answer, of which it only warns.
    """
    alone = [f"--repo={note['repository']}"] if note.get("alone") else []
    get = " ".join([*PgBackRest(note["stanza"], note["config"]).base, *alone, "archive-get", "%f", '"%p"'])
    judge = 'test $code -le 1 || exit 255; case "$code $said" in "1 "*"WARN: repo"*) exit 255;; esac; exit $code'
    return f'said=$({get} 2>&1); code=$?; test -z "$said" || echo "$said" >&2; {judge}'


def ask(bins: Path, statements: str) -> str:
    """What the private server answers."""
    command = [bins / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"--host={SCRATCH}", "--port=5499", "--dbname=postgres"]
    return subprocess.run(command, input=statements, check=True, capture_output=True, text=True).stdout


# As ALTER SUBSCRIPTION ... DISABLE does it, which would have to be said in each database; the catalog is one for all.
DISABLE = "UPDATE pg_subscription SET subenabled = false WHERE subenabled RETURNING subname"
POSITION = "CHECKPOINT; SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8); SELECT pg_current_wal_lsn();"


def why(note: dict[str, Any], log: str) -> str:
    """The sentence for a recovery that ended without promotion."""
    last = re.findall(r"last completed transaction was at log time (.+)", log)
    if "from archive: child process exited with exit code 255" in log:
        said = meaning(log[log.rfind("restored log file") + 1 :])
        again = "The same command goes on when it answers again, or, with the target in it, without a repository that is away"
        return f"the archive stopped answering, and nothing was promoted: {said}. {again}"
    known = f"; the last commit in it is of {last[-1]}" if last else ""
    if "recovery ended before configured recovery target was reached" in log:
        again = "Run this again with another target: -e restore_latest=true takes all that is there"
        return f"the archive ends before {note['goal']}{known}. {again}"
    if "is not a child of this server's history" in log:
        again = "run this again with another restore_timeline or restore_label"
        return f"timeline {note['timeline']} does not descend from backup {note['label']}; {again}"
    # Our own questions whether it is ready leave lines too.
    asked = ("is starting up", "is not accepting connections", "is shutting down")
    lines = [line for line in log.splitlines() if ("FATAL" in line or "PANIC" in line) and not line.endswith(asked)]
    return f"the restored server did not come up: {lines[-1] if lines else log[-300:]} (the whole log: {SCRATCH / 'server.log'})"


def tidy(data: Path) -> None:
    """Patroni alone says how this server recovers and archives from now on."""
    auto = data / "postgresql.auto.conf"
    if auto.exists():
        kept = [line for line in auto.read_text().splitlines(keepends=True) if not OVERRULED.match(line)]
        with auto.open("w") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())


def clear(settings: Settings, _: PgBackRest) -> None:
    """On the other members: the old data is aside or gone, so that the member copies the restored one's."""
    with marker.alone():
        note = marker.read()
        if note is None or note["node"] == settings.name or note["stage"] != "planned":
            return
        try:
            keep = planning.room(settings, note["size"])
        except BackupError:
            keep = False
        set_aside(settings, note, keep)
        note["stage"] = "cleared"
        marker.write(note)
        print(f"the old data of {settings.name} is {'in ' + note['kept'] if note['kept'] else 'gone'}")


def lead(settings: Settings, _: PgBackRest) -> None:
    """Note that the restored member leads: from now on it is not stopped again."""
    note = marker.read()
    if note is not None and note["node"] == settings.name and note["stage"] == "recovered":
        marker.write(note | {"stage": "leading"})


def finish(settings: Settings, pgbackrest: PgBackRest) -> None:
    """On every member: the restore is over. The leader has taken a fresh backup before, in `ensure`."""
    note = marker.read()
    if note is None:
        return
    shutil.rmtree(SCRATCH, ignore_errors=True)
    marker.PATH.unlink()
    marker.PATH.with_suffix(".lock").unlink(missing_ok=True)
    print(f"the restore is over{', the old data is in ' + note['kept'] if note['kept'] else ''}")
