"""pgBackRest's own command line: what the repositories hold, and the few commands that are ever run."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field

from meaning import meaning

# From pgBackRest's build/error.yaml and the documentation of `info`.
LOCKED = 50
NO_PATH, NO_BACKUP, NO_DATA, OTHER = 1, 2, 3, 99
# A lock of a command that has just ended, or of one that was refused at the same time, is gone within seconds.
ATTEMPTS = 12
INFO = ("--output=json", "--log-level-console=error", "info")
# For a person who waits to hear how the backups are: pgBackRest tries for several times its io-timeout, which is a minute by default.
PATIENCE = "--io-timeout=5"


class BackupError(Exception):
    """A sentence for the person who reads the journal."""


@dataclass(frozen=True)
class Backup:
    """One complete backup. Times are Unix seconds."""

    repository: int
    label: str
    kind: str
    started: int
    stopped: int
    size: int
    damaged: bool
    archive_start: str
    archive_stop: str
    # Position in the WAL at which the copy is consistent.
    lsn_stop: str = "0/0"


@dataclass(frozen=True)
class Repository:
    """State of the stanza in one repository; code and message as in pgBackRest's info."""

    key: int
    code: int
    message: str


@dataclass(frozen=True)
class Info:
    """What all repositories hold of the stanza, and whether a backup runs where this host can see it."""

    repositories: list[Repository]
    backups: list[Backup]
    running: bool
    archive_ids: dict[int, str]
    # Of the database that each repository is of, as PostgreSQL numbers them.
    system_ids: dict[int, str] = field(default_factory=dict)

    def of(self, repository: int) -> list[Backup]:
        """Backups of one repository, oldest first."""
        return sorted((it for it in self.backups if it.repository == repository), key=lambda it: it.stopped)

    @property
    def silent(self) -> list[Repository]:
        """Repositories that cannot be read."""
        return [it for it in self.repositories if it.code == OTHER]


def parse(text: str) -> Info:
    """The answer of `info --output=json` for one stanza."""
    # Its messages may carry anything: what a wrong passphrase made of a file, for one.
    stanzas = json.loads(text, strict=False)
    if not stanzas:
        return Info([], [], False, {})
    (stanza,) = stanzas
    repositories = [Repository(it["key"], it["status"]["code"], it["status"]["message"]) for it in stanza.get("repo", [])]
    if stanza["status"]["code"] == OTHER and not repositories:
        repositories = [Repository(1, OTHER, stanza["status"]["message"])]
    backups = [
        Backup(
            repository=it["database"]["repo-key"],
            label=it["label"],
            kind=it["type"],
            started=it["timestamp"]["start"],
            stopped=it["timestamp"]["stop"],
            size=it["info"]["size"],
            damaged=bool(it.get("error")),
            archive_start=it["archive"]["start"],
            archive_stop=it["archive"]["stop"],
            lsn_stop=(it.get("lsn") or {}).get("stop", "0/0"),
        )
        for it in stanza.get("backup", [])
    ]
    # The newest database history of each repository is the one that is archived to.
    archive_ids = {it["database"]["repo-key"]: it["id"] for it in sorted(stanza.get("archive", []), key=lambda it: it["database"]["id"])}
    system_ids = {it["repo-key"]: str(it["system-id"]) for it in sorted(stanza.get("db", []), key=lambda it: it["id"])}
    return Info(repositories, backups, stanza["status"]["lock"]["backup"]["held"], archive_ids, system_ids)


class PgBackRest:
    """The command with its stanza; `config` when it is another file than the host's own."""

    def __init__(self, stanza: str, config: str = "") -> None:
        self.stanza = stanza
        self.base = ["pgbackrest", f"--stanza={stanza}", *([f"--config={config}"] if config else [])]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command; the caller judges the exit code."""
        return subprocess.run([*self.base, *arguments], capture_output=True, text=True, errors="replace", check=False)

    def must(self, *arguments: str) -> str:
        """Run a command that has to succeed; answers its output."""
        done = self.run(*arguments)
        if done.returncode != 0:
            raise BackupError(f"pgbackrest {' '.join(arguments)} failed: {meaning(done.stdout + done.stderr)}")
        return done.stdout

    def outlast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As `run`, but waits while another command holds the lock."""
        for _ in range(ATTEMPTS):
            done = self.run(*arguments)
            if done.returncode != LOCKED:
                break
            time.sleep(5)
        return done

    def patiently(self, *arguments: str) -> None:
        """As `must`, but waits while another command holds the lock."""
        done = self.outlast(*arguments)
        if done.returncode != 0:
            raise BackupError(f"pgbackrest {' '.join(arguments)} failed: {meaning(done.stdout + done.stderr)}")

    def info(self, *options: str) -> Info:
        """What the repositories hold; a repository that does not answer is an error."""
        info = parse(self.must(*options, *INFO))
        if info.silent:
            raise BackupError("; ".join(f"repository {it.key} cannot be read: {meaning(it.message)}" for it in info.silent))
        return info
