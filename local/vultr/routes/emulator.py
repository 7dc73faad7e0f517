"""The emulator's own door, /_emu: its health, its faults, the requests it has seen. Live Vultr has nothing there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from local.vultr.engine import EngineError
from local.vultr.faults import Faults
from local.vultr.routes.common import P, done

router = APIRouter(prefix="/_emu")


@router.get("/health")
def get_health(parts: P) -> dict[str, Any]:
    """By `local_vultr` and `cluster` a client knows that it talks to this machine and not to Vultr."""
    problems = [*parts.hosting.machines.problems(), *parts.hosting.storage.problems()]
    lost: list[str] = []
    if not problems:
        try:
            parts.hosting.reconcile()
            lost = parts.hosting.lost()
        except EngineError as error:
            problems = [str(error)]
    with parts.store.read() as state:
        return {
            "local_vultr": True,
            "cluster": parts.config.cluster,
            "healthy": not problems,
            "problems": problems,
            "vpc2": parts.config.vpc2,
            "instances": len(state.instances),
            "stopped": [
                one.label or one.id for one in state.instances.values() if one.status == "active" and one.power_status == "stopped"
            ],
            "lost": lost,
            "state": str(parts.config.state),
        }


@router.get("/faults")
def get_faults(parts: P) -> Faults:
    return parts.faults.now


@router.put("/faults")
def set_faults(body: Faults, parts: P) -> Faults:
    """All faults at once: what the body does not name is off."""
    parts.faults.now = body
    return body


@router.delete("/faults")
def clear_faults(parts: P) -> Response:
    parts.faults.now = Faults()
    return done()


@router.get("/requests")
def get_requests(parts: P) -> dict[str, int]:
    """How often each route was called since the start or the last reset."""
    return dict(sorted(parts.faults.requests.items()))


@router.delete("/requests")
def reset_requests(parts: P) -> Response:
    parts.faults.requests.clear()
    return done()
