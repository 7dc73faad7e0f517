"""What every chapter uses: strict bodies, paged lists, the parts of the application."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from local.vultr.config import Config
from local.vultr.errors import bad_request
from local.vultr.faults import FaultBox
from local.vultr.hosting import Hosting
from local.vultr.state import Store

# Vultr cuts longer free text without a word.
DESCRIPTION_LENGTH = 255
KEY_NAME_LENGTH = 128
NO_CONTENT = 204


class Body(BaseModel):
    """A request body: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Parts:
    """What the application is made of, for the routes."""

    def __init__(self, config: Config, store: Store, hosting: Hosting, faults: FaultBox) -> None:
        self.config, self.store, self.hosting, self.faults = config, store, hosting, faults


def _parts(request: Request) -> Parts:
    return request.app.state.parts


P = Annotated[Parts, Depends(_parts)]


def strict_query(request: Request) -> None:
    """Refuse query parameters that the route does not know."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    known |= {field.alias for part in request.scope["route"].dependant.dependencies for field in part.query_params}
    for name in request.query_params:
        if name not in known:
            raise bad_request(f"Unknown query parameter '{name}' in {request.method} {request.url.path}: the local Vultr does not know it.")


class Paging:
    """`?per_page=&cursor=`, and the page that they ask for."""

    def __init__(self, per_page: Annotated[int, Query(ge=1, le=500)] = 100, cursor: str = "") -> None:
        self.size = per_page
        self.start = _start(cursor)

    def page(self, name: str, rows: list[Any]) -> dict[str, Any]:
        """A list as Vultr shows it. `next` and `prev` are empty strings at the ends: on null, the inventory plugin asks for ever."""
        end = self.start + self.size
        links = {
            "next": _cursor("next", end) if end < len(rows) else "",
            "prev": _cursor("prev", max(0, self.start - self.size)) if self.start > 0 else "",
        }
        return {name: rows[self.start : end], "meta": {"total": len(rows), "links": links}}


Page = Annotated[Paging, Depends()]


def _cursor(word: str, start: int) -> str:
    return base64.urlsafe_b64encode(f"{word}__{start}".encode()).decode().rstrip("=")


def _start(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("__")
        if word in ("next", "prev"):
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise bad_request(f"Invalid cursor '{cursor}': give the text of meta.links.next or meta.links.prev.")


def done() -> Response:
    """204, without a body."""
    return Response(status_code=NO_CONTENT)
