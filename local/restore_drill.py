"""`make restore-drill`: the data of a cluster of `make up` is destroyed on every host, and comes back from its backups."""

import re
import time

from local import child, environment, reach, tools, vultr_process
from local.paths import Cluster
from local.playbook import Watch
from local.say import Refusal, say, stage

ROWS = 10_000
_TABLE = "restore_drill"
_AS_POSTGRES = "cd /tmp && sudo -u postgres"
# Rows, their sum and a digest of all of them in order: what comes back has to be the same to the byte.
_DIGEST = f"SELECT count(*), sum(id), md5(string_agg(id || ':' || text, ',' ORDER BY id)) FROM {_TABLE}"
_FILL = f"""
CREATE TABLE IF NOT EXISTS {_TABLE} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL);
INSERT INTO {_TABLE} (text) SELECT md5(random()::text) FROM generate_series(1, {ROWS});
"""
# As a lost disk: Patroni and PostgreSQL die, and the data directory is empty.
_DESTROY = """
systemctl kill --signal=KILL patroni; systemctl stop patroni; pkill -KILL -u postgres -x postgres
rm -rf /var/lib/postgresql/*/main; systemctl start patroni
"""


def restore_drill(cluster: Cluster) -> None:
    """Write rows, archive them, destroy all data, restore, compare. Prints seconds and rows. Raises Refusal when a row is missing."""
    if not cluster.is_local:
        raise Refusal(f"CLUSTER={cluster.name} is on Vultr: this destroys all data of the cluster, and does so only here.")
    vultr_process.insist(cluster)
    env = environment.clients(cluster, [tools.ansible()])
    hosts = reach.inventory(cluster, env)
    databases = {name: reach.ssh_words(cluster, hosts["vars"][name]) for name in sorted(hosts["groups"].get("postgresql", []))}
    leader = next((name for name, ssh in databases.items() if _psql(ssh, env, "SELECT NOT pg_is_in_recovery()") == "t"), None)
    if leader is None:
        raise Refusal(f"None of {', '.join(databases) or 'no host'} leads: run make up first.")
    with stage(f"{ROWS} rows are written and archived"):
        _psql(databases[leader], env, _FILL)
        before = _psql(databases[leader], env, _DIGEST)
        _must(databases[leader], env, f"{_AS_POSTGRES} pgbackrest --stanza={cluster.name} check")
    with stage("the data of every host is destroyed"):
        for ssh in databases.values():
            _must(ssh, env, _DESTROY)
    began, watch = time.monotonic(), Watch()
    with stage("ansible-playbook restore.yml"):
        child.run(
            [
                *("ansible-playbook", "-i", reach.INVENTORY, "playbooks/backup/restore.yml"),
                *("-e", "restore_latest=true", "-e", f"restore_confirm={cluster.name}"),
            ],
            env,
            cluster.log / "restore.log",
            "The restore stopped: its last task above says why; what is left of the cluster is in its archive",
            each_line=watch.line,
        )
    seconds = time.monotonic() - began
    after = {name: _psql(ssh, env, _DIGEST) for name, ssh in databases.items()}
    if set(after.values()) != {before} or not before:
        raise Refusal(f"The rows that came back are others: before {before}, now {after}")
    rows = before.partition("|")[0]
    say(f"All data was destroyed and is back after {seconds:.0f} s: {rows} rows checked on each of {len(after)} members, byte by byte.")


def _psql(ssh: list[str], env: dict[str, str], statements: str) -> str:
    """The answer of the local server, empty when there is none."""
    quoted = re.sub(r"\s+", " ", statements).strip().replace("'", "'\\''")
    return (child.answer([*ssh, f"{_AS_POSTGRES} psql -XAtq -v ON_ERROR_STOP=1 -c '{quoted}'"], env) or "").strip()


def _must(ssh: list[str], env: dict[str, str], command: str) -> None:
    if child.answer([*ssh, command], env) is None:
        raise Refusal(f"This failed on {ssh[-1]}: {' '.join(command.split())}")
