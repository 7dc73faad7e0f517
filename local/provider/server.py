"""The provider as a process: what tofu starts and talks to."""

import base64
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import msgpack
import tf.provider
import tf.runner
import tf.utils
from tf.gen import tfplugin_pb2 as pb
from tf.iface import DataSource, Provider, Resource
from tf.schema import Schema
from tf.types import Unknown
from tf.utils import Diagnostics, _to_attribute_path, read_dynamic_value, to_dynamic_value

from local.provider import ADDRESS, VERSION, data_sources, planner, resources, schema
from local.provider.instance import Instance

NOTICE = "This is Elephant's stand-in for vultr/vultr"
NOTICE_DETAIL = f"It answers as {VERSION} does and talks only to a Vultr on this machine. For the real one, use the registry's provider."
NO_KEY = "No Vultr API key: set the environment variable VULTR_API_KEY (or api_key in the provider block)."
CERTIFICATE_S = 6 * 86400

_new_certificate = tf.runner._self_signed_cert
_RESOURCES: list[type[Resource]] = [
    resources.Vpc,
    resources.SshKey,
    resources.FirewallGroup,
    resources.FirewallRule,
    Instance,
    resources.ObjectStorage,
    resources.Bucket,
    resources.LoadBalancer,
    resources.ReservedIp,
    resources.BlockStorage,
]
_DATA_SOURCES: list[type[DataSource]] = [
    data_sources.Os,
    data_sources.Plan,
    data_sources.Region,
    data_sources.StorageCluster,
    data_sources.StorageTier,
]


class StandIn(Provider):
    """The provider: its configuration and what it offers."""

    def __init__(self) -> None:
        self.client: Any = None
        self.stop = threading.Event()

    def get_model_prefix(self) -> str:
        """What all type names begin with."""
        return "vultr_"

    def full_name(self) -> str:
        """The address in the registry."""
        return ADDRESS

    def get_provider_schema(self, diags: Diagnostics) -> Schema:
        """The schema of the provider block: the key is required unless the environment has one."""
        built = schema.build(schema.load()["provider"])
        if os.environ.get("VULTR_API_KEY"):
            key = next(attribute for attribute in built.attributes if attribute.name == "api_key")
            key.required, key.optional = False, True
        return built

    def validate_config(self, diags: Diagnostics, config: dict[str, Any]) -> None:
        """Nothing to judge before the values are known."""

    def configure_provider(self, diags: Diagnostics, config: dict[str, Any]) -> None:
        """Make the client. The packages that it needs are loaded here, so that commands without requests start faster."""
        from local.provider.client import Client
        from local.provider.errors import Failure

        diags.add_warning(NOTICE, NOTICE_DETAIL)
        key = config.get("api_key")
        key = key if isinstance(key, str) and key else os.environ.get("VULTR_API_KEY")  # it may be unknown as yet
        if not key:
            diags.add_error(NO_KEY)
            return
        try:
            self.client = Client(key, config.get("rate_limit") or 0, config.get("retry_limit") or 0, self.stop)
        except Failure as error:
            diags.add_error(str(error))

    def get_resources(self) -> list[type[Resource]]:
        """The resource types."""
        return _RESOURCES

    def get_data_sources(self) -> list[type[DataSource]]:
        """The data source types."""
        return _DATA_SOURCES


class Servicer(tf.provider.ProviderServicer):
    """The framework's answers, with plans of our own and the announcement of the legacy type system that they need."""

    def PlanResourceChange(self, request: pb.PlanResourceChange.Request, context: grpc.ServicerContext) -> Any:
        """Plan a create or an update; a delete is not asked for."""
        prior, proposed = read_dynamic_value(request.prior_state), read_dynamic_value(request.proposed_new_state)
        planned, replace = planner.plan(schema.load()["resources"][request.type_name], prior, proposed)
        return pb.PlanResourceChange.Response(
            planned_state=to_dynamic_value(planned),
            requires_replace=[_to_attribute_path([name]) for name in replace],
            legacy_type_system=True,
        )

    def ApplyResourceChange(self, request: pb.ApplyResourceChange.Request, context: grpc.ServicerContext) -> Any:
        """Create, update or delete."""
        response = super().ApplyResourceChange(request, context)
        response.legacy_type_system = True
        return response

    def StopProvider(self, request: pb.StopProvider.Request, context: grpc.ServicerContext) -> Any:
        """Tofu was interrupted: waits end, and what was created is reported with its id."""
        self.app.stop.set()
        return pb.StopProvider.Response()


class _Shutdown(tf.runner._ShutdownInterceptor):
    """The framework ends the process when tofu is interrupted; then a server that is being created would be lost from the state."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.endswith("/StopProvider"):
            return continuation(details)
        return super().intercept_service(continuation, details)


def _certificate_cache() -> Path:
    """Where the framework keeps the certificate that it shows to tofu: in Elephant's cache, or in a folder of its own."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elephant" / "provider"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="elephant-provider-"))
    return folder / "certificate.json"


def _certificate() -> tuple[bytes, Any]:
    """The framework's certificate, which lasts seven days. Reading it back without looking at it saves a third of each start."""
    path = _certificate_cache()
    try:
        if time.time() - path.stat().st_mtime < CERTIFICATE_S:
            kept = json.loads(path.read_text())
            pair = kept["key_pem"].encode(), kept["cert_pem"].encode()
            return base64.b64decode(kept["cert_chain"]), grpc.ssl_server_credentials([pair], require_client_auth=False)
    except (OSError, ValueError, KeyError):
        pass  # not there, or just being written by another start
    return _new_certificate()


def _extension(code: int, data: bytes) -> Any:
    """An unknown value of the wire. The framework knows code 0 only; 12 is one of which tofu knows something, say that it is not null."""
    return Unknown if code in (0, 12) else msgpack.ExtType(code, data)


def serve() -> None:
    """Serve until tofu says that it is done. An interrupt from the keyboard is tofu's to pass on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tf.utils._msgpack_ext_hook = _extension
    tf.provider.ProviderServicer = Servicer
    tf.runner._ShutdownInterceptor = _Shutdown
    tf.runner._get_cert_cache_path = _certificate_cache
    tf.runner._self_signed_cert = _certificate
    tf.runner.run_provider(StandIn())
    # Everything is answered and tofu waits for the end of this process: an orderly teardown of the interpreter would be for nobody.
    os._exit(0)
