#!/usr/bin/python
# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""All that the role has to know about a member, in one visit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_info
short_description: What a Patroni member and its cluster look like now
version_added: 0.1.0
description:
  - Reads packages, unit, data directory, watchdog, the member's REST API and, where that does not answer, the DCS. Changes nothing.
  - With O(wait) it waits until the member has its place in the cluster, and fails with the unit's journal when that does not come about.
extends_documentation_fragment: [elephant.ha.patroni, elephant.ha.patroni.tls, elephant.ha.patroni.store]
options:
  name:
    description: Name of the member.
    type: str
    required: true
  scope:
    description: Name of the cluster.
    type: str
    required: true
  packages:
    description: Packages that the role needs.
    type: list
    elements: str
    default: []
  read_files:
    description: What Patroni reads when it starts or reloads.
    type: list
    elements: path
    default: []
  start_files:
    description: What Patroni reads when it starts only, besides its packages.
    type: list
    elements: path
    default: []
  directories:
    description: Folders with the owner, group and mode that they shall have.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      owner:
        description: Whose it is.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      mode:
        description: Its mode, in quotes.
        type: str
        required: true
  patronictl:
    description: Link to the configuration by which patronictl knows the cluster.
    type: path
    default: /root/.config/patroni/patronictl.yaml
  paused_mark:
    description: File that M(elephant.ha.patroni_restart_service) leaves while it has the cluster paused.
    type: path
    default: /var/lib/elephant/patroni.paused
  unit:
    description: Patroni's systemd unit.
    type: str
    default: patroni.service
  data_directory:
    description: PostgreSQL's data directory.
    type: path
    required: true
  config_directory:
    description: Folder of the member's configuration.
    type: path
    required: true
  etcd_urls:
    required: false
    default: []
  etcd_password:
    required: false
  synchronous_members:
    description: How many members must be there before a synchronous standby is expected. 0 expects none.
    type: int
    default: 0
  wait:
    description:
      - Seconds to wait until the member is settled. 0 only looks.
      - A standby that is being copied may take longer, until nothing has moved for two minutes or the copy was begun for the fourth time.
    type: int
    default: 0
  gone:
    description: A member that has left the cluster; O(wait) also waits until nobody counts it any more.
    type: str
    default: ""
  expect_pending:
    description:
      - Ask the member's PostgreSQL what its files and O(changed_parameters) leave to a restart.
      - Where that is something, wait, at most these seconds, until Patroni says so too. Not to hear it is no failure.
    type: int
    default: 0
  changed_parameters:
    description: PostgreSQL parameters that were just changed in the DCS.
    type: list
    elements: str
    default: []
author:
  - The Elephant authors (@elephant)
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: It changes nothing.
"""

EXAMPLES = r"""
- name: What the host has
  elephant.ha.patroni_info:
    name: db-1
    scope: elephant
    url: https://192.0.2.21:8008
    data_directory: /var/lib/postgresql/17/main
    config_directory: /etc/elephant/patroni
    ca_file: /etc/elephant/certificates/ca.crt
    certificate_file: /etc/elephant/certificates/patroni.crt
    key_file: /etc/elephant/certificates/patroni.key
  register: found
"""

RETURN = r"""
settled:
  description: Whether the member runs, has a leader, and the cluster has its synchronous standby.
  returned: always
  type: bool
version:
  description: Patroni's version, installed or, where it is not, on offer.
  returned: always
  type: str
watchdog:
  description: Whether there is a device that resets a host whose Patroni hangs.
  returned: always
  type: bool
pending:
  description: Members that wait for a restart of PostgreSQL, with the parameters that need it.
  returned: always
  type: dict
pending_not_lowered:
  description: Members that wait for a restart for more than limits that were lowered.
  returned: always
  type: list
  elements: str
reload_due:
  description: Files that were changed after the running Patroni last read them.
  returned: always
  type: list
  elements: str
restart_due:
  description: Why the running Patroni is not what is on the disk.
  returned: always
  type: list
  elements: str
stale_directories:
  description: Those of O(directories) that are not there, or not as they shall be.
  returned: always
  type: list
  elements: path
patronictl:
  description: Where O(patronictl) leads, empty where it is no link.
  returned: always
  type: str
lives_as:
  description: What the member's configuration says that it is (C(scope), C(name), C(data_directory)), and the C(version) of the data there.
  returned: always
  type: dict
moved:
  description: Those of O(scope), O(name), O(data_directory) that a member with data is asked to change, as C(found) and as C(asked).
  returned: always
  type: dict
"""

import grp
import pwd
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.elephant.ha.plugins.module_utils import units
from ansible_collections.elephant.ha.plugins.module_utils.copying import Progress
from ansible_collections.elephant.ha.plugins.module_utils.patroni_rest import (
    ETCD_OPTIONS,
    LEADERS,
    REST_OPTIONS,
    SYNCHRONOUS,
    Https,
    Unreachable,
    etcd_read,
)

# What a standby checks against its leader's when it replays WAL.
LIMITS = ("max_connections", "max_locks_per_transaction", "max_prepared_transactions", "max_wal_senders", "max_worker_processes")
# Patroni's word for a standby that is being copied.
COPIED = "creating replica"

DIRECTORY = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "required": True},
}

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "scope": {"type": "str", "required": True},
    "packages": {"type": "list", "elements": "str", "default": []},
    "read_files": {"type": "list", "elements": "path", "default": []},
    "start_files": {"type": "list", "elements": "path", "default": []},
    "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
    "patronictl": {"type": "path", "default": "/root/.config/patroni/patronictl.yaml"},
    "paused_mark": {"type": "path", "default": "/var/lib/elephant/patroni.paused"},
    "unit": {"type": "str", "default": "patroni.service"},
    "data_directory": {"type": "path", "required": True},
    "config_directory": {"type": "path", "required": True},
    **REST_OPTIONS,
    **ETCD_OPTIONS,
    "etcd_urls": {"type": "list", "elements": "str", "default": []},
    "etcd_password": {"type": "str", "no_log": True},
    "synchronous_members": {"type": "int", "default": 0},
    "wait": {"type": "int", "default": 0},
    "gone": {"type": "str", "default": ""},
    "expect_pending": {"type": "int", "default": 0},
    "changed_parameters": {"type": "list", "elements": "str", "default": []},
}


def settled(name: str, cluster: dict[str, Any] | None, synchronous_members: int) -> str:
    """Empty when the member `name` has its place, else the sentence that says what is missing. `cluster` is the answer of GET /cluster."""
    if cluster is None:
        return "its Patroni does not answer"
    members = {it["name"]: it for it in cluster.get("members", [])}
    if not any(it.get("role") in LEADERS and it.get("state") == "running" for it in members.values()):
        return "the cluster has no running leader"
    own = members.get(name)
    if own is None:
        return "it is not a member of the cluster yet"
    if own.get("role") not in LEADERS and own.get("state") != "streaming":
        return f"it does not stream from the leader (its state is {own.get('state')!r})"
    # One that is being copied is waited for where it is seen to come further: on its own host.
    copied_elsewhere = own.get("role") in LEADERS and any(it.get("state") == COPIED for it in members.values())
    expected = 0 < synchronous_members <= len(members) and not copied_elsewhere
    if expected and not any(it.get("role") in SYNCHRONOUS for it in members.values()):
        return "no standby is synchronous"
    return ""


def misses(asked: dict[str, Any], cluster: dict[str, Any] | None) -> str:
    """Empty when nothing that was asked for is still to come, else the sentence that says what."""
    if asked["gone"] and any(it["name"] == asked["gone"] for it in (cluster or {}).get("members", [])):
        return f"{asked['gone']} still renews its place in the cluster"
    return settled(asked["name"], cluster, asked["synchronous_members"])


def output(*command: str) -> str:
    """What a program printed, whatever it thought of it; empty where there is no such program."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        ).stdout
    except OSError:
        return ""


def packages(names: list[str]) -> dict[str, str]:
    """The installed ones of these packages with their versions."""
    listing = output("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\n", *names) if names else ""
    rows = (line.split() for line in listing.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def offered(name: str) -> str:
    """The version that apt would install, empty when it knows none."""
    for line in output("apt-cache", "policy", name).splitlines():
        if line.strip().startswith("Candidate:"):
            version = line.split(":", 1)[1].strip()
            return "" if version == "(none)" else version
    return ""


def stale(directory: dict[str, str]) -> bool:
    """Whether a folder is missing, or has another owner, group or mode."""
    path = Path(directory["path"])
    if not path.is_dir():
        return True
    found = path.stat()
    try:
        wanted = (pwd.getpwnam(directory["owner"]).pw_uid, grp.getgrnam(directory["group"]).gr_gid)
    except KeyError:
        return True
    return (found.st_uid, found.st_gid) != wanted or found.st_mode & 0o7777 != int(directory["mode"], 8)


def lives_as(config_directory: str) -> dict[str, str]:
    """What the member's own configuration says that it is, and the version of the data there; empty words where it says nothing."""
    path = Path(config_directory) / "patroni.yml"
    text = path.read_text() if path.is_file() else ""
    keys = {"scope": r"^scope: (.+)$", "name": r"^name: (.+)$", "data_directory": r"^  data_dir: (.+)$"}
    found = {key: re.search(pattern, text, flags=re.MULTILINE) for key, pattern in keys.items()}
    said = {key: match[1].strip("'\"") if match else "" for key, match in found.items()}
    version = Path(said["data_directory"] or "/nowhere") / "PG_VERSION"
    return {**said, "version": version.read_text().strip() if version.is_file() else ""}


def moved(living: dict[str, str], asked: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What a member with data is asked to be instead of what it is."""
    keys = ("scope", "name", "data_directory") if living["version"] else ()
    return {key: {"found": living[key], "asked": asked[key]} for key in keys if living[key] and living[key] != asked[key]}


def rest_api(asked: dict[str, Any]) -> Https:
    """The member's own REST API."""
    return Https(asked["url"], asked["ca_file"], asked["certificate_file"], asked["key_file"])


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """The member's and the cluster's state through REST; both null where nothing answers."""
    try:
        rest = rest_api(asked)
        _, member = rest.call("GET", "/patroni")
        status, cluster = rest.call("GET", "/cluster")
    except Unreachable as error:
        return {"member": None, "cluster": None, "why": str(error)}
    known = isinstance(cluster, dict) and status == 200
    return {"member": member if isinstance(member, dict) else None, "cluster": cluster if known else None, "why": ""}


def dcs(asked: dict[str, Any]) -> dict[str, Any]:
    """What etcd has of this cluster."""
    prefix = f"/service/{asked['scope']}/"
    try:
        servers = [Https(url, asked["ca_file"], asked["certificate_file"], asked["key_file"], 3) for url in asked["etcd_urls"]]
        version, keys = etcd_read(servers, asked["etcd_username"], asked["etcd_password"] or "", prefix)
    except Unreachable as error:
        return {"reachable": False, "why": str(error), "version": "", "initialize": "", "leader": ""}
    return {
        "reachable": True,
        "why": "",
        "version": version,
        "initialize": keys.get(prefix + "initialize", ""),
        "leader": keys.get(prefix + "leader", ""),
    }


def entries(directory: str) -> list[str]:
    """Names in a folder; none where there is no folder."""
    path = Path(directory)
    return sorted(it.name for it in path.iterdir()) if path.is_dir() else []


# To read pg_file_settings is to parse the files, which marks what of them this session could take over at a restart only; so no reload
# has to have arrived before. What stands on the command line is Patroni's own and overrides the files.
LEFT_TO_A_RESTART = (
    "SELECT count(*) FROM pg_file_settings",
    "SELECT lower(name), pending_restart AND source <> 'command line' FROM pg_settings WHERE pending_restart OR context = 'postmaster'",
)


def left_to_a_restart(printed: str, changed: list[str]) -> tuple[list[str], list[str]]:
    """Of what psql `printed`: the parameters whose new value stands in this member's files, and those `changed` in the DCS."""
    rows = dict(line.split("|") for line in printed.splitlines() if "|" in line)
    return sorted(name for name, waits in rows.items() if waits == "t"), sorted(rows.keys() & {it.lower() for it in changed})


def wait_until_pending(asked: dict[str, Any], state: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Look again until Patroni says what its PostgreSQL says, or the time is over; the last look, and what waits in this member's files."""
    queries = [f"--command={it}" for it in LEFT_TO_A_RESTART]
    printed = output("runuser", "--user=postgres", "--", "psql", "--no-psqlrc", "--tuples-only", "--no-align", *queries, "postgres")
    own, changed = left_to_a_restart(printed, asked["changed_parameters"])
    deadline = time.monotonic() + (asked["expect_pending"] if own or changed else 0)
    while time.monotonic() < deadline:
        said = pending(state["cluster"])
        if set(own) <= set(said.get(asked["name"], [])) and (not changed or any(set(changed) & set(it) for it in said.values())):
            break
        time.sleep(0.25)
        state = look(asked)
    return state, own


def wait_for(asked: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Look again until settled, or until the time is over.

    How long a copy takes is a matter of how large the database is: while a standby that is being copied comes any further it is not over.
    """
    deadline, progress = time.monotonic() + asked["wait"], Progress()
    while asked["wait"] and misses(asked, state["cluster"]):
        own = state["member"] or {}
        # A leader's pgbackrest archives.
        if own.get("role") not in ("primary", "master", "standby_leader"):
            progress.look(own)
        if time.monotonic() > deadline and (not progress.begun or progress.too_often or progress.stalled):
            break
        time.sleep(0.25)
        state = look(asked)
    return state


def pending(cluster: dict[str, Any] | None) -> dict[str, list[str]]:
    """Members that wait for a restart, with the parameters that need it."""
    waiting = (it for it in (cluster or {}).get("members", []) if it.get("pending_restart"))
    return {it["name"]: sorted(it.get("pending_restart_reason") or {}) for it in waiting}


def lowered(cluster: dict[str, Any] | None) -> dict[str, list[str]]:
    """Members with those of their pending parameters that a standby may not have less of than its leader, and that were lowered."""
    found = {}
    for it in (cluster or {}).get("members", []):
        reasons = (it.get("pending_restart_reason") or {}) if it.get("pending_restart") else {}
        found[it["name"]] = sorted(name for name in LIMITS if name in reasons and lower(reasons[name]))
    return {name: names for name, names in found.items() if names}


def lower(reason: dict[str, Any]) -> bool:
    """Whether Patroni's reason (`old_value` runs, `new_value` is asked for) lowers a number."""
    try:
        return int(reason.get("new_value")) < int(reason.get("old_value"))
    except (TypeError, ValueError):
        return False


def refused(sentence: str) -> dict[str, Any]:
    """The answer of a module that fails."""
    return {"failed": True, "msg": sentence}


def glance(asked: dict[str, Any]) -> dict[str, Any]:
    """Gather, and wait if asked to; `failed` when it was in vain."""
    installed = packages(asked["packages"])
    state, own = wait_for(asked, look(asked)), []
    if asked["expect_pending"]:
        state, own = wait_until_pending(asked, state)
    missing_place = misses(asked, state["cluster"])
    if asked["wait"] and missing_place.startswith(f"{asked['gone']} still"):
        return refused(
            f"After {asked['wait']} s {missing_place} {asked['scope']}: it runs, whether or not it answers here. "
            "Stop it on its host (systemctl disable --now patroni), or switch the host off, and run again."
        )
    if asked["wait"] and missing_place:
        return refused(
            f"{asked['name']} did not take its place in the cluster {asked['scope']} within {asked['wait']} s: {missing_place}. "
            f"What its journal says last (journalctl --unit {asked['unit']}):\n"
            + output("journalctl", "--unit", asked["unit"], "--no-pager", "--lines", "25", "--output", "cat")
        )
    member = state["member"] or {}
    unit = units.state(asked["unit"])
    waiting, less = pending(state["cluster"]), lowered(state["cluster"])
    if own:
        waiting[asked["name"]] = sorted({*waiting.get(asked["name"], []), *own})
    living = lives_as(asked["config_directory"])
    marks = [asked["paused_mark"]] if Path(asked["paused_mark"]).exists() else []
    return {
        "name": asked["name"],
        "packages": installed,
        "missing": [name for name in asked["packages"] if name not in installed],
        "version": installed.get("patroni") or offered("patroni"),
        "unit": unit,
        "reload_due": units.reload_due(unit, asked["read_files"]),
        # A pause that a restart left behind when it was interrupted is ended by the next one.
        "restart_due": units.restart_due(unit, [*asked["start_files"], *units.package_marks(asked["packages"])]) + marks,
        "stale_directories": [it["path"] for it in asked["directories"] if stale(it)],
        "patronictl": str(Path(asked["patronictl"]).readlink()) if Path(asked["patronictl"]).is_symlink() else "",
        "lives_as": living,
        "moved": moved(living, asked),
        "has_data": bool(entries(asked["data_directory"])),
        "is_cluster": (Path(asked["data_directory"]) / "PG_VERSION").exists(),
        "config": entries(asked["config_directory"]),
        "watchdog": Path("/dev/watchdog").is_char_device(),
        "answers": state["member"] is not None,
        "is_leader": member.get("role") in ("primary", "master", "standby_leader"),
        "paused": bool((state["cluster"] or {}).get("pause")),
        "settled": not missing_place,
        "waits_for": missing_place,
        "pending": waiting,
        "pending_not_lowered": [name for name, parameters in waiting.items() if set(parameters) - set(less.get(name, []))],
        "cluster": state["cluster"],
        # A member that answers has its DCS; only a silent one has to be asked about from outside.
        "dcs": None if state["cluster"] else dcs(asked),
    }


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    found = glance(module.params)
    if found.get("failed"):
        module.fail_json(**found)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
