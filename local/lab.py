"""`make lab CONCEPT=...`: one concept alone, to look at and to break. A lab is `molecule converge` of the concept's scenario."""

import re
from pathlib import Path

from local import child, suite
from local.paths import CHECKOUT, cache
from local.say import Refusal, say, stage

# The scenario that has what the concept needs, and no more.
SCENARIOS = {
    "replication": "replication",
    "etcd": "etcd",
    "patroni": "patroni",
    "backup": "pgbackrest",
    "certificates": "certificates",
    "firewall": "firewall",
}
_PROMPT = re.compile(r"^root@([\w-]+):~# (.+)$", flags=re.MULTILINE)


def scenario_of(concept: str) -> str:
    """The scenario of a concept. Raises Refusal for a concept that has none."""
    if concept not in SCENARIOS:
        asked = f"CONCEPT is {concept!r}" if concept else "No CONCEPT was named"
        raise Refusal(f"{asked}; choose one of {', '.join(SCENARIOS)}: make lab CONCEPT=replication")
    return SCENARIOS[concept]


def first_thing(concept: str) -> str:
    """What to type first: the first command of the concept's page, on the host where the page types it; empty while there is no page."""
    page = CHECKOUT / f"docs/concepts/{concept}.md"
    match = _PROMPT.search(page.read_text()) if page.exists() else None
    if match is None:
        return f"docker ps --filter label=elephant.scenario={SCENARIOS[concept]}"
    return f"docker exec -it elephant-{SCENARIOS[concept]}-{match[1]} bash    # a shell on {match[1]}; leave it with exit\n  {match[2]}"


def lab(concept: str) -> None:
    """From nothing to hosts that run the concept; again: to what the roles say."""
    scenario = scenario_of(concept)
    suite.provide(containers=True)
    suite.provide_image(scenario)
    with stage(f"the lab {concept}: molecule converge of molecule/{scenario}"):
        _molecule("converge", scenario, f"the lab {concept} could not be made")
    say(f"Try first:\n  {first_thing(concept)}\nThen docs/concepts/{concept}.md. It is gone again with: make lab-down")


def lab_down(concept: str) -> None:
    """The lab of this concept is gone; every lab when none is named."""
    concepts = [concept] if concept else list(SCENARIOS)
    for scenario in dict.fromkeys(scenario_of(it) for it in concepts):
        there = child.answer(["docker", "ps", "--all", "--quiet", "--filter", f"label=elephant.scenario={scenario}"])
        if there and there.strip():
            with stage(f"the lab of molecule/{scenario} is removed"):
                _molecule("destroy", scenario, f"the lab of molecule/{scenario} could not be removed")


def _molecule(verb: str, scenario: str, failed: str) -> None:
    log: Path = cache() / "log" / f"lab-{scenario}-{verb}.log"
    child.run(["molecule", verb, "-s", scenario], suite.surroundings(), log, failed)
