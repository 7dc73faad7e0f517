"""The application: its parts, its door, its chapters."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request, Response

from local.vultr import errors
from local.vultr.ca import Authority, write_private
from local.vultr.config import Config
from local.vultr.engine import EngineError
from local.vultr.errors import error_body
from local.vultr.faults import FaultBox
from local.vultr.hosting import Hosting
from local.vultr.machines import DockerMachines, Machines
from local.vultr.routes import catalog, emulator, firewalls, instance_parts, instances, object_storage, ssh_keys, vpcs
from local.vultr.routes.common import Parts, strict_query
from local.vultr.state import Store
from local.vultr.storage import DockerStorage, Storage

log = logging.getLogger("elephant.vultr")
MARK = "X-Elephant-Local-Vultr"
# Vultr tells these to anybody; the emulator its health.
OPEN = ("/v2/regions", "/v2/plans", "/v2/os", "/_emu/health")
CHAPTERS = (catalog, ssh_keys, vpcs, firewalls, instances, instance_parts, object_storage, emulator)


def read_key(config: Config) -> str:
    """The one key that is accepted, made at the first start."""
    file = config.state / "api_key"
    if not file.exists():
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, f"LOCAL-{secrets.token_hex(18).upper()}\n".encode())
    return file.read_text().strip()


def docker_parts(config: Config, authority: Authority) -> Parts:
    """The parts, with the Docker engine of this machine behind them."""
    machines = DockerMachines(config, authority.pem)
    return make_parts(config, machines, DockerStorage(config, machines, authority))


def make_parts(config: Config, machines: Machines, storage: Storage) -> Parts:
    """The parts, with the given machines and storage."""
    faults, store = FaultBox(), Store(config.state / "state.json")
    return Parts(config, store, Hosting(store, machines, storage, faults, config.public_network, config.cluster), faults)


def make_app(parts: Parts, key: str) -> FastAPI:
    """The API of `parts`, for who has `key`."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, dependencies=[Depends(strict_query)])
    app.state.parts = parts
    errors.install(app)

    @app.exception_handler(EngineError)
    async def _engine(_: Request, exc: EngineError) -> Response:
        return error_body(503, str(exc))

    @app.middleware("http")
    async def _door(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = _refusal(request, parts.faults, key)
        if response is None:
            try:
                response = await answer(request)
            except Exception:
                log.exception("%s %s failed", request.method, request.url.path)
                response = error_body(500, "The local Vultr has a fault of its own: its log has the details.")
            response = _after(request, response, parts.faults)
        response.headers[MARK] = parts.config.cluster
        return response

    for chapter in CHAPTERS:
        app.include_router(chapter.router)
    return app


def _refusal(request: Request, faults: FaultBox, key: str) -> Response | None:
    """The answer to a request that does not get in. A wrong key is compared and forgotten: it is not logged, kept or shown."""
    path = request.url.path
    given = request.headers.get("authorization")
    if given is None and path not in OPEN:
        return error_body(401, "Invalid API token.")
    if given is not None and not hmac.compare_digest(given.encode(), f"Bearer {key}".encode()):
        return error_body(401, "Invalid API token.")
    if faults.take("too_many_requests", path):
        return error_body(429, "Rate limit exceeded", {"Retry-After": str(faults.now.retry_after)})
    if faults.take("unavailable", path):
        return error_body(503, "Service unavailable")
    has_body = int(request.headers.get("content-length") or 0) > 0
    if has_body and request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return error_body(400, "A request with a body needs the header Content-Type: application/json.")
    return None


def _after(request: Request, response: Response, faults: FaultBox) -> Response:
    """Count the request by its route; then lose the answer of a create when that fault is on."""
    route = request.scope.get("route")
    faults.count(f"{request.method} {getattr(route, 'path', request.url.path)}")
    if request.method == "POST" and response.status_code in (201, 202) and faults.take("after_create_503", request.url.path):
        return error_body(503, "Service unavailable")
    return response
