"""The console behind make: python -m local VERB."""

import os
import signal
import sys

from local import environment
from local.paths import CHECKOUT, chosen
from local.say import Refusal, say


def main(verb: str, *words: str) -> int:
    """Carry out a verb; returns the exit code. Modules are imported when their verb is known, so that the short ones answer at once."""
    if verb not in ("status", "psql", "ssh", "drill") or chosen().is_local:
        environment.forget_the_real_vultr()
    from local import machine

    machine.refuse_a_world_writable_checkout(CHECKOUT)
    if verb in ("status", "psql", "ssh", "env"):
        from local import reach

        if verb == "ssh":
            reach.ssh(chosen(), os.environ.get("NODE"))
        else:
            getattr(reach, verb)(chosen())
        return 0
    if verb == "drill":
        from local.drill import drill_and_print

        drill_and_print(chosen())
        return 0
    if verb == "up":
        from local.up import up

        up(chosen(local_only=True))
        return 0
    if verb == "down":
        from local.down import down

        down(chosen())
        return 0
    if verb == "restore-drill":
        from local.restore_drill import restore_drill

        restore_drill(chosen())
        return 0
    if verb == "image":
        from local import engine, host_image

        host_image.provide(engine.provide())
        return 0
    if verb in ("lab", "lab-down"):
        from local import lab

        (lab.lab if verb == "lab" else lab.lab_down)(os.environ.get("CONCEPT", ""))
        return 0
    if verb == "bench":
        from local.bench import bench

        bench(os.environ.get("PART", ""), os.environ.get("MEGABYTES", ""))
        return 0
    return _suite(verb, *words)


def _suite(verb: str, *words: str) -> int:
    from local import suite

    suite.provide(containers=verb not in ("lint", "check"))
    steps = {
        "lint": suite.lint,
        "check": suite.check,
        "test": lambda: suite.test(suite.quick_scenarios()),
        "test-all": lambda: suite.test(suite.scenarios()),
        "molecule": lambda: [suite.scenario(name) for name in words],
    }
    if verb not in steps:
        raise Refusal(f"There is no `{verb}`; make alone prints what there is.")
    return suite.carry_out(steps[verb]())


if __name__ == "__main__":
    # As ^C: what was started is ended first, so that nothing works on beside the next command.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        sys.exit(main(*(sys.argv[1:] or ["help"])))
    except Refusal as refusal:
        say(str(refusal))
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted. Run the same command again to go on, or make down to remove what was made.")
        sys.exit(130)
