"""What one host says of the cluster, as one line of JSON; asks the programs that run there and changes nothing.

Printed: {"certificate_days": int | null, "etcd": {"healthy": bool, "leader": bool, "version": str, "alarms": int} | null,
"patroni": {"name", "role", "state", "timeline", "lag", "pending_restart", "paused"} | null, "trouble": [str]}.
Days are whole days until the first leaf expires, lag is in bytes. A service that does not answer is null, with a sentence in "trouble".
"""

import json
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

CERTIFICATES = Path("/etc/elephant/certificates")


def certificate_days() -> int | None:
    ends = []
    for leaf in CERTIFICATES.glob("*.crt"):
        shown = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", leaf], check=True, capture_output=True, text=True).stdout
        ends.append(ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter=")))
    return int((min(ends) - time.time()) // 86400) if ends else None


def etcd(address: str) -> dict:
    call = ["etcdctl", f"--endpoints=https://{address}:2379", f"--cacert={CERTIFICATES}/ca.crt", f"--cert={CERTIFICATES}/etcd-root.crt"]
    call += [f"--key={CERTIFICATES}/etcd-root.key", "--command-timeout=3s", "--write-out=json"]
    answer = json.loads(subprocess.run([*call, "endpoint", "status"], check=True, capture_output=True, text=True).stdout)[0]["Status"]
    subprocess.run([*call, "endpoint", "health"], check=True, capture_output=True, text=True)
    leader = answer["header"]["member_id"] == answer["leader"]
    return {"healthy": True, "leader": leader, "version": answer["version"], "alarms": len(answer.get("errors", []))}


def patroni(address: str, name: str) -> dict:
    trusted = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))
    with urllib.request.urlopen(f"https://{address}:8008/cluster", context=trusted, timeout=5) as answer:
        cluster = json.load(answer)
    me = next(member for member in cluster["members"] if member["name"] == name)
    asked = ("name", "role", "state", "timeline", "lag", "pending_restart")
    return {key: me.get(key) for key in asked} | {"paused": bool(cluster.get("pause"))}


def main(group: str, name: str, address: str) -> None:
    seen: dict = {"certificate_days": None, "etcd": None, "patroni": None, "trouble": []}
    asked = {"certificate_days": certificate_days}
    asked |= {"etcd": lambda: etcd(address)} if group == "etcd" else {"patroni": lambda: patroni(address, name)}
    for what, ask in asked.items():
        try:
            seen[what] = ask()
        except subprocess.CalledProcessError as failed:
            seen["trouble"].append(f"{what}: {(failed.stderr or str(failed)).strip().splitlines()[-1]}")
        except (OSError, KeyError, StopIteration, ValueError) as failed:
            seen["trouble"].append(f"{what}: {failed or type(failed).__name__}")
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
