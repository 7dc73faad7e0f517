"""Trouble on demand: what live Vultr does now and then, switched on through /_emu/faults.

Faults live in memory only: a restart of the API ends them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field


class Faults(BaseModel):
    """The switches. A count says how many times the fault still happens; it counts down."""

    model_config = ConfigDict(extra="forbid", strict=True)

    after_create_503: int = Field(0, ge=0, description="POSTs that do their work and then answer 503")
    too_many_requests: int = Field(0, ge=0, description="requests that are refused with 429")
    retry_after: int = Field(1, ge=0, description="seconds in the Retry-After header of those")
    unavailable: int = Field(0, ge=0, description="requests that are refused with 503 and do nothing")
    slow_boot: float = Field(0.0, ge=0, description="seconds that an instance stays pending before its machine is made")
    vpc_busy: float = Field(
        0.0, ge=0, description="seconds that a VPC refuses to go after its last instance has left; 4 to 73 on live Vultr"
    )
    path: str = Field("/v2/", description="the first three concern only paths that begin with this")
    neighbors: list[list[str]] = Field(default_factory=list, description="groups of labels that share one physical host")


@dataclass
class FaultBox:
    """The faults now, and the requests counted since the last reset."""

    now: Faults = field(default_factory=Faults)
    requests: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, path: str) -> bool:
        """True when the fault `name` is due for this request; counts it down."""
        with self._lock:
            left = getattr(self.now, name)
            if left < 1 or not path.startswith(self.now.path):
                return False
            setattr(self.now, name, left - 1)
            return True

    def count(self, request: str) -> None:
        """Count one request, named by its method and route."""
        with self._lock:
            self.requests[request] = self.requests.get(request, 0) + 1
