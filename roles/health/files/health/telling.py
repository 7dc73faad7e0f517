"""What was found, for a person (one line), for a machine (JSON) and for node-exporter (its textfile)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from conditions import CONDITIONS, LEADERS, SYNCHRONOUS, Problem

WORDS = {0: "OK", 1: "WARNING", 2: "CRITICAL"}


def level(problems: list[Problem]) -> int:
    """The exit code: 0, 1 or 2, as monitoring systems read it."""
    return max((it.level for it in problems), default=0)


def line(seen: dict[str, Any], problems: list[Problem]) -> str:
    """One line, the worst first."""
    said = "; ".join(it.sentence for it in problems) or ", ".join(_good(seen))
    return f"{WORDS[level(problems)]}: {' '.join(said.split())}"


def document(seen: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """All that was seen, with what is wrong of it."""
    told = [{"condition": it.condition, "level": WORDS[it.level], "about": it.about, "sentence": it.sentence} for it in problems]
    return {"level": WORDS[level(problems)], "line": line(seen, problems), "problems": told} | seen


def metrics(seen: dict[str, Any], problems: list[Problem]) -> str:
    """Prometheus' text format. A condition without a problem is 0, so that an alert can tell good from silent."""
    worst = {it.condition: max(one.level for one in problems if one.condition == it.condition) for it in problems}
    rows = [("elephant_health_problem", f'condition="{name}"', worst.get(name, 0)) for name in CONDITIONS]
    rows += [("elephant_health_timestamp_seconds", "", round(seen["at"]))]
    rows += [("elephant_disk_used_ratio", f'path="{it["path"]}"', round(it["used"], 4)) for it in seen["disks"]]
    if seen.get("certificate"):
        rows.append(("elephant_certificate_days", "", seen["certificate"]["days"]))
    if (patroni := seen.get("patroni")) and patroni["own"]:
        rows.append(("elephant_leads", "", int(patroni["own"]["role"] in LEADERS)))
        rows.append(("elephant_synchronous_standbys", "", sum(it["role"] in SYNCHRONOUS for it in patroni["members"])))
    if server := seen.get("server"):
        rows.append(("elephant_archive_waiting_segments", "", server["ready"]))
        rows += [("elephant_slot_wal_bytes", f'slot="{it["name"]}"', round(it["bytes"])) for it in server["slots"]]
    for it in (seen.get("backup") or {"repositories": []})["repositories"]:
        if it["newest"]:
            rows.append(("elephant_backup_timestamp_seconds", f'repository="{it["key"]}"', it["newest"]))
    if writes := seen.get("writes"):
        rows.append(("elephant_writes_waiting", "", writes["confirmation"] + writes["disk"]))
    text, last = [], ""
    for name, labels, value in rows:
        if name != last:
            text.append(f"# TYPE {name} gauge")
            last = name
        text.append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
    return "\n".join(text) + "\n"


def put(file: Path, text: str) -> None:
    """Whole or not at all: whoever reads it never meets half of it."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(handle, "w") as out:
        out.write(text)
    Path(name).chmod(0o644)
    Path(name).replace(file)


def _good(seen: dict[str, Any]) -> list[str]:
    said = []
    if (patroni := seen.get("patroni")) and patroni["own"]:
        said.append("leads" if patroni["own"]["role"] in LEADERS else "follows")
        said.append(f"{sum(it['role'] in SYNCHRONOUS for it in patroni['members'])} synchronous")
    if etcd := seen.get("etcd"):
        said.append("leads etcd" if etcd["leader"] else "etcd is healthy")
    if seen.get("certificate"):
        said.append(f"certificates for {seen['certificate']['days']} days")
    if seen["disks"]:
        said.append(f"disks at most {max(it['used'] for it in seen['disks']) * 100:.0f} % full")
    return said or ["nothing to watch here"]
