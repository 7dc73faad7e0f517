"""`make drill`: playbooks/drill/run.yml on a cluster here or on Vultr, with its progress."""

import json
import os
import re
import time
from dataclasses import dataclass, field

from local import child
from local.paths import Cluster
from local.playbook import Watch
from local.reach import INVENTORY, prepared
from local.say import Refusal, say

PLAYBOOK = "playbooks/drill/run.yml"
HEAL = "playbooks/drill/heal.yml"
_CYCLE = re.compile(r"^TASK \[Who leads before (.*)\] \*+$")
_STEPS = (
    "The fault is done on the host",
    "The power is cut",
    "What the clients meet is waited for",
    "The power is back",
    "The rows are read",
)
_STEP = re.compile(rf"^TASK \[({'|'.join(_STEPS)})\] \*+$")


def drill(cluster: Cluster, select: str = "", cycles: str = "", resume: str = "") -> str:
    """Run the drill; returns what it said last, its verdict. Raises Refusal when it is not green."""
    env = prepared(cluster, drilling=True)
    # Its own machine's cluster may be broken for the asking; one on Vultr only by name.
    confirmed = cluster.name if cluster.is_local else os.environ.get("CONFIRM", "")
    given: dict[str, str | int] = {"drill_confirm": confirmed, "drill_select": select or "default"}
    given |= {"drill_cycles": _number("CYCLES", cycles)} if cycles else {}
    given |= {"drill_resume": resume} if resume else {}
    if scale := os.environ.get("SCALE"):
        given["drill_load_scale"] = _number("SCALE", scale)
    if os.environ.get("UNTIMED"):
        given["drill_timed"] = False
    if os.environ.get("WITHOUT_BACKUP"):
        given["drill_without_backup"] = "true"
    progress = Progress()
    words = ["ansible-playbook", "-i", INVENTORY, PLAYBOOK, "--extra-vars", json.dumps(given)]
    try:
        child.run(words, env, cluster.log / "drill.log", "The drill is red, or did not come to its end", each_line=progress.line)
    except (KeyboardInterrupt, SystemExit, Refusal) as error:
        # Ansible, too, tells of ^C: by its exit code. What ends otherwise has healed.
        if isinstance(error, Refusal) and "exit code 99" not in str(error):
            raise
        say("Interrupted: what it broke is healed. A second ^C leaves that to the timers on the hosts.")
        child.run(["ansible-playbook", "-i", INVENTORY, HEAL], env, cluster.log / "drill-heal.log", "Not all of it could be healed")
        raise
    return "\n".join(progress.watch.last_message)


def drill_and_print(cluster: Cluster) -> None:
    """The verb: FAULTS, CYCLES, RESUME and, for a cluster on Vultr, CONFIRM come from the environment."""
    print(drill(cluster, *(os.environ.get(name, "") for name in ("FAULTS", "CYCLES", "RESUME"))))


def _number(name: str, given: str) -> int:
    if not given.isdigit() or int(given) < 1:
        raise Refusal(f"{name}={given!r} is no number: give 1 or more.")
    return int(given)


@dataclass
class Progress:
    """Prints a line for each cycle and step as it begins, and the estimate."""

    watch: Watch = field(default_factory=lambda: Watch(quiet=True))
    _began: float = field(default_factory=time.monotonic)
    _said: int = 0

    def line(self, text: str) -> None:
        """Take one line of the playbook's output."""
        self.watch.line(text)
        if self._said == 0 and self.watch.messages:
            self._said = 1
            say("\n".join(self.watch.messages[0]))
        if found := _CYCLE.match(text):
            self._say(found[1])
        elif found := _STEP.match(text):
            self._say(f"        {found[1]}")

    def _say(self, text: str) -> None:
        say(f"{time.monotonic() - self._began:5.0f} s  {text}")
