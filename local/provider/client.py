"""HTTP as the real provider speaks it: one host, a bearer key, JSON, and three retries of whatever may pass."""

import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPSConnection
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from local.provider.errors import ApiError, Failure

HOST = "api.vultr.com"
BASE = "/v2"
RETRIES = 3
RATE_LIMIT_MS = 500
TIMEOUT_S = 60


class Client:
    """Calls to the API. Safe for several threads; `stop` ends every wait and retry when tofu is interrupted."""

    def __init__(self, key: str, rate_limit_ms: int = 0, retries: int = 0, stop: threading.Event | None = None):
        self._key = key
        self._wait_s = (rate_limit_ms or RATE_LIMIT_MS) / 1000
        self._attempts = (retries or RETRIES) + 1
        self._idle: LifoQueue[HTTPSConnection] = LifoQueue()
        self._tls = ssl.create_default_context()  # reads SSL_CERT_FILE
        self._proxy = local_proxy()
        self.stop = stop or threading.Event()

    def get(self, path: str) -> Any:
        """The decoded answer of a GET."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, with retries; the decoded answer, None when it has no body.

        429 and 5xx are tried again for every method, POST included: a create whose answer is lost is created twice, as with
        the real provider. Raises ApiError with the raw body on any other refusal.
        """
        for attempt in range(self._attempts):
            failure: Exception | None = None
            try:
                status, headers, text = self._send(method, path, body)
            except ssl.SSLCertVerificationError as error:
                raise Failure(f"{method} https://{HOST}{BASE}{path}: {error.verify_message} (SSL_CERT_FILE names the CA)") from error
            except (OSError, HTTPException) as error:
                failure, status, headers, text = error, 0, {}, ""
            if failure is None and status != 429 and (status < 500 or status == 501):
                return _decode(status, text)
            if attempt + 1 < self._attempts:
                self.pause(self._delay(attempt, status, headers))
        if failure is not None:
            told = Failure(f"gave up after {self._attempts} attempts, last error : {method} https://{HOST}{BASE}{path}: {failure}")
            told.hint = f"HTTPS_PROXY says that the Vultr on this machine answers at {self._proxy[0]}:{self._proxy[1]}: is it running?"
            raise told
        raise ApiError(f"gave up after {self._attempts} attempts, last error: {json.dumps(text.strip())}", status)

    def pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """The items of a paged list, page after page. Raises Failure for a page without `meta.links`, where the real provider panics."""
        cursor = ""
        while True:
            answer = self.get(f"{path}?cursor={quote(cursor, safe='')}" if cursor else path)
            yield from answer[key]
            try:
                cursor = answer["meta"]["links"]["next"]
            except (KeyError, TypeError) as error:
                raise Failure(f"GET {BASE}{path}: the answer has no meta.links.next, without which the real provider panics") from error
            if not cursor:
                return

    def pause(self, seconds: float) -> None:
        """Sleep, unless tofu was interrupted: then raise Failure."""
        if self.stop.wait(seconds):
            raise Failure("context canceled")

    def _delay(self, attempt: int, status: int, headers: dict[str, str]) -> float:
        after = headers.get("retry-after", "")
        if status in (429, 503) and after:
            if after.isdigit():
                return float(after)
            try:
                return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
            except ValueError:
                pass
        return min(self._wait_s, self._wait_s * 2 / 3 * 2**attempt)

    def _send(self, method: str, path: str, body: Any) -> tuple[int, dict[str, str], str]:
        # A connection that idled may be dead, which shows only after the request is out. A POST gets a fresh one, so that
        # this never creates anything twice.
        connection = self._connect() if method == "POST" else self._connection()
        try:
            connection.request(
                method,
                BASE + path,
                body=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers={
                    "Authorization": f"Bearer {self._key}",
                    "User-Agent": "Terraform/elephant-stand-in",
                    "Accept": "application/json",
                    "Content-Type": "application/json",
                },
            )
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except BaseException:
            connection.close()
            raise
        if not response.will_close:
            self._idle.put(connection)
        return response.status, {name.lower(): value for name, value in response.getheaders()}, text

    def _connection(self) -> HTTPSConnection:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._connect()

    def _connect(self) -> HTTPSConnection:
        connection = HTTPSConnection(*self._proxy, timeout=TIMEOUT_S, context=self._tls)
        connection.set_tunnel(HOST, 443)
        return connection


def local_proxy() -> tuple[str, int]:
    """Host and port of the proxy in HTTPS_PROXY. Raises Failure unless it is on this machine: nobody is billed by a stand-in."""
    proxy = urlsplit("" if proxy_bypass_environment(HOST) else getproxies_environment().get("https", ""))
    try:
        local = proxy.hostname == "localhost" or ipaddress.ip_address(proxy.hostname or "").is_loopback
    except ValueError:
        local = False
    if not local or not proxy.hostname:
        raise Failure(
            "HTTPS_PROXY names no proxy on this machine, so requests would reach the real Vultr, which the stand-in refuses. "
            'Run `eval "$(make env)"` for the Vultr on this machine, or install the real provider (`tofu init` without TF_CLI_CONFIG_FILE).'
        )
    return proxy.hostname, proxy.port or 80


def _decode(status: int, text: str) -> Any:
    if not 200 <= status <= 204:
        raise ApiError(text, status)
    try:
        return json.loads(text) if text.strip() else None
    except json.JSONDecodeError as error:
        raise ApiError(f"the answer is not JSON: {error}", status) from error
