# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Who leads, who follows and what has to be done, judged from what the members of a plain replication say. No host is asked here.

A finding is what the module replication_info returned on a member: its name, what lies in its data directory, whether its server runs and
in which role, and how each other member answered it over TLS. A member without a finding is silent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Finding = dict[str, Any]
PLAYBOOKS = "ansible-playbook playbooks/replication"


@dataclass
class Plan:
    """What a run means to do, by member."""

    primary: str = ""
    forms: bool = False
    # Nothing may be changed anywhere while there is one of these.
    refusals: list[str] = field(default_factory=list)
    # What keeps one member from following, with the command that helps; its server is left as it is.
    reports: dict[str, str] = field(default_factory=dict)
    # copy, start, follow (it runs) or leave (it is reported).
    actions: dict[str, str] = field(default_factory=dict)
    upstreams: dict[str, str] = field(default_factory=dict)


def runs_as_primary(name: str, findings: dict[str, Finding]) -> bool:
    """Whether the member accepts writes: it says so itself, or another member heard it."""
    own = findings.get(name)
    if own is not None:
        return bool(own["answers"]) and not own["recovery"]
    return any(it["others"].get(name, {}).get("answers") and not it["others"][name]["recovery"] for it in findings.values())


def heard(name: str, findings: dict[str, Finding]) -> dict[str, Any]:
    """System identifier and timeline of a member, from itself or from whoever could ask it; empty when nobody could."""
    if name in findings:
        return findings[name]
    return next((it["others"][name] for it in findings.values() if it["others"].get(name, {}).get("answers")), {})


def unfit(found: Finding, version: str) -> str:
    """Why nothing may be done on this member at all; empty when something may."""
    name, place = found["name"], found["data_directory"]
    if found["patroni"]:
        return f"{name} is managed by Patroni ({found['patroni']}), which decides who leads; the role replication is for hosts without it."
    if found["data"] == "foreign":
        return f"{name} has files in {place} that are not PostgreSQL's; move them away, or choose another replication_data_directory."
    if found["data"] == "cluster" and found["data_version"] != version:
        return (
            f"{name} has data of PostgreSQL {found['data_version']} in {place}, and replication_postgresql_version is {version}; "
            f"set it to {found['data_version']}, or choose another replication_data_directory."
        )
    if found["data"] == "cluster" and not found["ours"] and not found["signal"]:
        return (
            f"{name} has a database in {place} (system {found['system']}) that this role did not make; it is left alone: move it away, "
            "or choose another replication_data_directory."
        )
    if found["configured_data"] not in ("", place):
        return (
            f"{name} has a cluster {version}/main whose data is in {found['configured_data']}, not in {place}; "
            "correct replication_data_directory, or remove that cluster with pg_dropcluster."
        )
    return ""


def two_primaries(primaries: list[str], findings: dict[str, Finding]) -> str:
    """The sentence for more than one member that accepts writes."""
    lines = {name: heard(name, findings).get("timeline") or 0 for name in primaries}
    newest = max(primaries, key=lambda name: lines[name])
    older = next(name for name in primaries if name != newest)
    said = ", ".join(f"{name} (timeline {lines[name]})" for name in primaries)
    return (
        f"More than one member accepts writes: {said}. If the clients should keep {newest}, make {older} its standby again; "
        f"what was written there alone is dropped: {PLAYBOOKS}/rebuild.yml -e replication_member={older} -e replication_primary={newest}"
    )


def swapped(wanted: str, primary: str) -> str:
    """The sentence for an inventory that names another primary than the one that leads."""
    return (
        f"replication_primary is {wanted}, but {primary} is the primary. To hand over to {wanted}: "
        f"{PLAYBOOKS}/promote.yml -e replication_primary={wanted} -e replication_handover=true. "
        f"To keep {primary}: set replication_primary: {primary}, or leave it out."
    )


def stopped_primary(candidates: dict[str, int], silent: list[str], findings: dict[str, Finding]) -> tuple[str, str]:
    """(primary, refusal) while no member accepts writes and `candidates` (name: timeline) have data of a primary."""
    if not candidates:
        standbys = ", ".join(name for name, it in findings.items() if it["data"] == "cluster")
        return (
            "",
            (
                f"There is no primary: {standbys} are standbys. To make one of them the primary: "
                f"{PLAYBOOKS}/promote.yml -e replication_primary=NAME"
            ),
        )
    if silent:
        return "", (
            f"{', '.join(candidates)} was the primary and is stopped, and {', '.join(silent)} does not answer: "
            "it may have been promoted since. Bring it back, or look whether it leads, before the old primary is started."
        )
    newest = max(candidates.values())
    best = [name for name, timeline in candidates.items() if timeline == newest]
    if len(best) > 1:
        return "", (
            f"{' and '.join(best)} were both primaries on timeline {newest} and are stopped; start the one that the clients should keep "
            f"(systemctl start postgresql@…), then: {PLAYBOOKS}/rebuild.yml -e replication_member=THE_OTHER"
        )
    return best[0], ""


def reported(found: Finding, primary: str, leads: dict[str, Any]) -> str:
    """Why this member cannot simply follow; empty when it can."""
    name = found["name"]
    rebuild = f"{PLAYBOOKS}/rebuild.yml -e replication_member={name}"
    if found["data"] == "cluster" and not found["answers"] and not found["signal"]:
        return f"{name} was a primary (timeline {found['timeline']}) and is stopped; {primary} leads. To make it a standby again: {rebuild}"
    if found["lost"]:
        return f"{name} cannot follow {primary} any more ({found['lost']}). To make it a standby again: {rebuild}"
    if found["data"] == "cluster" and leads.get("system") and found["system"] != leads["system"]:
        return (
            f"{name} has another database (system {found['system']}) than {primary} (system {leads['system']}); "
            f"if it may be dropped: {rebuild} -e replication_rebuild_by=copy"
        )
    return ""


def upstream_of(name: str, primary: str, wanted: dict[str, str]) -> str:
    """Whom a standby follows: the one that the variables name, the primary when they name none or lead back to the member itself."""
    seen, there = {name}, wanted.get(name, primary)
    while there != primary and wanted.get(there):
        if there in seen:
            return primary
        seen.add(there)
        there = wanted[there]
    return wanted.get(name) or primary


def plan(
    findings: list[Finding],
    members: list[str],
    wanted: str = "",
    upstreams: dict[str, str] | None = None,
    version: str = "17",
    leaving: str = "",
) -> dict[str, Any]:
    """What to do. `wanted` is the primary by the variables (empty: whoever leads), `leaving` a member that is about to be rebuilt."""
    by_name = {it["name"]: it for it in findings if it["name"] in members}
    made = Plan(refusals=[sentence for it in by_name.values() if (sentence := unfit(it, version))])
    staying = [name for name in members if name != leaving]
    primaries = [name for name in staying if runs_as_primary(name, by_name)]
    silent = [name for name in staying if name not in by_name and not heard(name, by_name)]
    with_data = {name: it for name, it in by_name.items() if it["data"] == "cluster" and name != leaving}
    if len(primaries) > 1:
        made.refusals.append(two_primaries(primaries, by_name))
    elif primaries:
        made.primary = primaries[0]
    elif with_data:
        candidates = {name: it["timeline"] for name, it in with_data.items() if not it["signal"] and not it["answers"]}
        made.primary, refusal = stopped_primary(candidates, silent, by_name)
        made.refusals += [refusal] if refusal else []
    elif silent:
        made.refusals.append(
            f"{', '.join(silent)} cannot be asked for data, and a new database is made only when no member has one. "
            "Run without --limit, with every member reachable."
        )
    else:
        made.primary, made.forms = wanted or members[0], True
    if made.primary and wanted and wanted != made.primary:
        made.refusals.append(swapped(wanted, made.primary))
    if made.primary:
        follow(made, by_name, upstreams or {}, members)
    return vars(made)


def follow(made: Plan, findings: dict[str, Finding], upstreams: dict[str, str], members: list[str]) -> None:
    """Fill in what each standby does, once it is known who leads."""
    leads = heard(made.primary, findings)
    for name in members:
        if name == made.primary:
            made.actions[name] = "form" if made.forms else "lead"
            continue
        made.upstreams[name] = upstream_of(name, made.primary, upstreams)
        found = findings.get(name)
        if found is None:
            continue
        sentence = reported(found, made.primary, leads)
        if sentence:
            made.reports[name] = sentence
            made.actions[name] = "leave"
        elif found["data"] in ("absent", "empty"):
            made.actions[name] = "copy"
        else:
            made.actions[name] = "follow" if found["answers"] else "start"


def promotion(
    findings: list[Finding], members: list[str], candidate: str, handover: bool, accept_loss: bool, delayed: list[str]
) -> dict[str, Any]:
    """Whether `candidate` may become the primary: {"refusal", "old" (who leads now, or ""), "needed"}."""
    by_name = {it["name"]: it for it in findings if it["name"] in members}
    leaders = [name for name in members if runs_as_primary(name, by_name)]
    old = next((name for name in leaders if name != candidate), "")
    answer = {"refusal": "", "old": old, "needed": candidate not in leaders}
    if candidate in leaders:
        answer["refusal"] = two_primaries(leaders, by_name) if old else ""
        return answer
    answer["refusal"] = _unpromotable(candidate, old, by_name, handover, accept_loss, delayed)
    return answer


def _unpromotable(candidate: str, old: str, findings: dict[str, Finding], handover: bool, accept_loss: bool, delayed: list[str]) -> str:
    standbys = {name: it for name, it in findings.items() if it["answers"] and it["recovery"]}
    if candidate not in standbys:
        return (
            f"replication_primary is '{candidate}', which is no running standby; name one with -e replication_primary=NAME "
            f"({', '.join(standbys) or 'none runs'})."
        )
    managed = next((it for it in findings.values() if it["patroni"]), None)
    if managed:
        return f"{managed['name']} is managed by Patroni ({managed['patroni']}), which promotes by itself."
    if old and not handover:
        return (
            f"{old} still answers as the primary; two would take writes that nobody can merge. To hand over without losing any: "
            f"add -e replication_handover=true. If {old} is to be given up: stop it first."
        )
    if old and old not in findings:
        return f"{old} still answers as the primary, but cannot be reached to be stopped in good order; stop it, then run this again."
    if old and (standbys[candidate]["receiver"] or {}).get("status") != "streaming":
        return f"{candidate} does not stream, so it would lack what {old} writes until it stops. Look at it first: {PLAYBOOKS}/status.yml"
    if accept_loss:
        return ""
    if candidate in delayed:
        return (
            f"{candidate} replays with a delay (replication_delays); promoted, it first replays all it has received. "
            "If that is what you want: add -e replication_accept_loss=true."
        )
    ahead = max(standbys, key=lambda name: standbys[name]["received"])
    if not old and standbys[ahead]["received"] > standbys[candidate]["received"] and ahead not in delayed:
        behind = standbys[ahead]["received"] - standbys[candidate]["received"]
        return (
            f"{ahead} has received {behind} bytes of WAL more than {candidate}, and they would be lost. Promote {ahead} "
            "(-e replication_primary=" + ahead + "), or accept the loss: -e replication_accept_loss=true."
        )
    return ""
