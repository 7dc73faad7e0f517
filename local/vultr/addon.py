"""The TLS front: mitmproxy serves the application as https://api.vultr.com and refuses every other host.

`mitmdump -s local/vultr/addon.py`; README.md has the whole command.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mitmproxy import http
from mitmproxy.addons.asgiapp import ASGIApp

from local.vultr.app import docker_parts, make_app, read_key
from local.vultr.ca import ensure_authority
from local.vultr.config import API_HOST, Config

config = Config.from_environment()
parts = docker_parts(config, ensure_authority(config.proxy_folder, config.cluster))


class Front:
    """Lets nothing through: what is not the API of Vultr is answered here with a sentence."""

    def running(self) -> None:
        parts.hosting.resume()

    async def done(self) -> None:
        await asyncio.to_thread(parts.hosting.stop)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        if (flow.request.host, flow.request.port) != (API_HOST, 443):
            flow.response = _refusal(flow.request.host)

    def request(self, flow: http.HTTPFlow) -> None:
        if flow.request.pretty_host != API_HOST or flow.request.scheme != "https":
            flow.response = _refusal(flow.request.pretty_host)


def _refusal(host: str) -> http.Response:
    sentence = f"The local Vultr of cluster {config.cluster} passes nothing on: it is {API_HOST} only. Put {host} into NO_PROXY.\n"
    return http.Response.make(403, sentence, {"Content-Type": "text/plain"})


addons = [Front(), ASGIApp(make_app(parts, read_key(config)), API_HOST, 443)]
