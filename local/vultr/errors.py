"""Vultr's error body, and the sentences the local Vultr puts into it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

EMULATED = (
    "account, regions, plans, os, ssh-keys, vpcs, firewalls, instances (with vpcs, vpc2, backup-schedule, user-data, neighbors, "
    "halt, start, reboot, reinstall) and object-storage"
)


class VultrError(Exception):
    """An answer other than success: status, the text of `error`, extra headers."""

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers or {}


def bad_request(error: str) -> VultrError:
    """400, with the sentence."""
    return VultrError(400, error)


def not_found(error: str) -> VultrError:
    """404, in the words by which the provider recognises a thing that is gone."""
    return VultrError(404, error)


def not_emulated(what: str) -> VultrError:
    """501: never mistaken for "gone", and not retried by the provider, as other 5xx are."""
    return VultrError(501, f"Not emulated: the local Vultr has no {what}. It has {EMULATED}. See local/vultr/README.md.")


def error_body(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """`{"error":"…","status":N}`, compact: the firewall group's read looks for the bytes `"status":404`."""
    return JSONResponse({"error": error, "status": status}, status, headers=headers)


def install(app: FastAPI) -> None:
    """Give every failure of the app Vultr's shape."""

    @app.exception_handler(VultrError)
    async def _vultr(_: Request, exc: VultrError) -> JSONResponse:
        return error_body(exc.status, exc.error, exc.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> JSONResponse:
        if exc.status_code in (404, 405):
            exc_out = not_emulated(f"{request.method} {request.url.path}")
            return error_body(exc_out.status, exc_out.error)
        return error_body(exc.status_code, str(exc.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        where = f"{request.method} {request.url.path}"
        return error_body(400, " ".join(_sentence(problem, where) for problem in exc.errors()))


def _sentence(problem: dict, where: str) -> str:
    field = ".".join(str(part) for part in problem["loc"][1:]) or "body"
    if problem["type"] == "extra_forbidden":
        return f"Unknown field '{field}' in {where}: the local Vultr does not know it."
    if problem["type"] == "json_invalid":
        return f"The body of {where} is not JSON."
    if problem["type"] == "missing":
        return f"Field '{field}' is required in {where}."
    return f"Field '{field}' in {where}: {problem['msg']}."
