"""The host of the clients is let in by pg_hba for the time of the drill, where it is not anyway.

A file beside Patroni's own overrides its pg_hba; without the file all is as it was. A boot removes it, as does the end of the drill.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pwd
from pathlib import Path

import units

FOLDER = Path("/etc/elephant/patroni")
FILE = FOLDER / "zz-elephant-drill.yml"
AT_BOOT = Path("/etc/tmpfiles.d/elephant-drill.conf")


def admits(line: str, address: str, user: str) -> bool | None:
    """Whether a line of pg_hba lets the user in from there to his database; None when it does not speak of him."""
    words = line.split()
    if len(words) < 5 or words[0] not in ("host", "hostssl") or not {words[1], "all"} & {user, "all"}:
        return None
    if words[1] not in ("all", user) or not set(words[2].split(",")) & {"all", user}:
        return None
    if words[3] != "all" and ipaddress.ip_address(address) not in ipaddress.ip_network(words[3], strict=False):
        return None
    return words[4] != "reject"


def open_(address: str, user: str) -> bool:
    """Let the client in; False when it was let in already."""
    import yaml

    lines = yaml.safe_load((FOLDER / "patroni.yml").read_text())["postgresql"]["pg_hba"]
    said = [verdict for line in lines if (verdict := admits(line, address, user)) is not None]
    if (said and said[0]) or FILE.exists():
        return False
    first_reject = next((number for number, line in enumerate(lines) if admits(line, address, user) is False), len(lines))
    lines.insert(first_reject, f"hostssl {user} {user} {address}/32 scram-sha-256")
    AT_BOOT.write_text(f"r! {FILE}\n")
    FILE.touch(mode=0o600)
    FILE.write_text(json.dumps({"postgresql": {"pg_hba": lines}}, indent=1) + "\n")
    owner = pwd.getpwnam("postgres")
    os.chown(FILE, owner.pw_uid, owner.pw_gid)
    units.run("systemctl", "reload", "patroni.service")
    return True


def close() -> bool:
    """Nobody is let in by us any more; False when nobody was."""
    AT_BOOT.unlink(missing_ok=True)
    if not FILE.exists():
        return False
    FILE.unlink()
    units.run("systemctl", "reload", "patroni.service", check=False)
    return True
