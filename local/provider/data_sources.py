"""The data sources: a list of the API, filtered down to exactly one item."""

from typing import TYPE_CHECKING, Any, ClassVar

from tf.iface import DataSource
from tf.schema import Schema

from local.provider import schema
from local.provider.errors import ApiError, Failure
from local.provider.planner import State, blank, zero

if TYPE_CHECKING:
    from local.provider.client import Client


class Lookup(DataSource):
    """One type of data source. A subclass is a table."""

    type_name: ClassVar[str]
    path: ClassVar[str]
    key: ClassVar[str]
    error: ClassVar[str]
    none: ClassVar[str] = "no results were found"
    many: ClassVar[str] = "your search returned too many results. Please refine your search to be more specific"
    renamed: ClassVar[dict[str, str]] = {}

    def __init__(self, provider: Any):
        self.api: Client = provider.client
        self.spec = schema.load()["data_sources"][self.type_name]

    @classmethod
    def get_name(cls) -> str:
        """The type's name without the provider's prefix."""
        return cls.type_name.removeprefix("vultr_")

    @classmethod
    def get_schema(cls) -> Schema:
        """The type's schema."""
        return schema.build(schema.load()["data_sources"][cls.type_name])

    def items(self) -> list[dict[str, Any]]:
        """Everything that the API lists."""
        return list(self.api.pages(self.path, self.key))

    def read(self, ctx: Any, config: State) -> State | None:
        """The one item that passes every filter. None or several are an error."""
        filters = config.get("filter") or []
        try:
            if not filters:
                raise Failure("issue with filter: false")
            found = [item for item in self.items() if all(_passes(item, rule["name"], rule["values"]) for rule in filters)]
            if len(found) != 1:
                raise Failure(self.many if found else self.none)
            return blank(self.spec) | {"filter": filters} | self._values(found[0])
        except Failure as error:
            told = self.error.format(error=error) if isinstance(error, ApiError) else str(error)
            ctx.diagnostics.add_error(told, error.hint)
        except (KeyError, TypeError, ValueError) as error:
            ctx.diagnostics.add_error(f"the API's answer cannot be used: {type(error).__name__}: {error}")
        return None

    def _values(self, item: dict[str, Any]) -> State:
        values = {}
        for name, attribute in self.spec["attributes"].items():
            value = item.get(self.renamed.get(name, name))
            if value is None:
                value = zero(attribute["type"])
            if attribute.get("integer"):
                value = int(value)
            values[name] = str(value) if attribute["type"] == "string" else value
        return values


class Os(Lookup):
    """An operating system."""

    type_name, path, key, error = "vultr_os", "/os", "os", "error getting os list: {error}"


class Plan(Lookup):
    """A size of server."""

    type_name, path, key, error = "vultr_plan", "/plans", "plans", "Error getting plans: {error}"


class Region(Lookup):
    """A place."""

    type_name, path, key, error = "vultr_region", "/regions", "regions", "Error getting regions: {error}"


class StorageCluster(Lookup):
    """A place for object storage."""

    type_name, path, key = "vultr_object_storage_cluster", "/object-storage/clusters", "clusters"
    error = "Error getting plans: {error}"  # sic


class StorageTier(Lookup):
    """A class of object storage. Its list has no pages."""

    type_name, path, key = "vultr_object_storage_tier", "/object-storage/tiers", "tiers"
    error = "Error getting object storage tier list : {error}"
    none = "no object storage tier results were found"
    many = "your object storage tier search returned too many results. \nPlease refine your search to be more specific"
    renamed: ClassVar[dict[str, str]] = {"rate_limit_bytes": "ratelimit_ops_bytes", "rate_limit_operations": "ratelimit_ops_secs"}

    def items(self) -> list[dict[str, Any]]:
        """Everything that the API lists."""
        return self.api.get(self.path)[self.key]

    def _values(self, item: dict[str, Any]) -> State:
        locations = [
            {"id": place["id"], "region": place["region"], "hostname": place["hostname"], "name": place.get("name") or ""}
            for place in item.get("locations") or []
        ]
        return super()._values(item) | {"locations": locations}


def _passes(item: dict[str, Any], name: str, values: list[str]) -> bool:
    """Whether a field has one of the values, or, when it is a list, all of them. Numbers compare as decimal text."""
    actual = {key.lower(): value for key, value in item.items()}.get(name)
    if isinstance(actual, list):
        return all(value in actual for value in values)
    if isinstance(actual, float) and actual == int(actual):
        actual = int(actual)
    if isinstance(actual, int | float) and not isinstance(actual, bool):
        actual = str(actual)
    return actual in values
