"""The drill's part on a host: python3 /var/lib/elephant-drill/program VERB [JSON]. Each verb prints one line of JSON."""

from __future__ import annotations

import json
import sys

HERE = "/var/lib/elephant-drill"


def main(verb: str, given: str = "{}") -> int:
    """Carry out a verb; modules are imported when it is known, for no host has what all of them need."""
    words = json.loads(given)
    # The way back is armed before the fault.
    if seconds := words.pop("armed_for", 0):
        import faults

        faults.arm(seconds)
    if verb in ("measure", "record-clients", "clients", "steady", "settled", "rows", "end", "clean"):
        import clients

        answer = clients.VERBS[verb](**words)
    elif verb in ("record-server", "record-etcd", "observe", "still"):
        import observers

        answer = observers.VERBS[verb](**words)
    elif verb in ("leaders", "whole", "fate", "hand-over", "standbys", "stays-down", "etcd-leader"):
        import cluster

        answer = cluster.VERBS[verb](**words)
    else:
        import faults

        answer = faults.VERBS[verb](**words)
    print(json.dumps(answer or {}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
