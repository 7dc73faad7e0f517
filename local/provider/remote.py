"""What all resources have in common: create, wait, read, update, delete, and what to keep when one of them fails."""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tf.iface import Resource
from tf.schema import Schema
from tf.types import Unknown
from tf.utils import Diagnostics

from local.provider import rules, schema
from local.provider.errors import ApiError, Failure, Told
from local.provider.planner import State, blank, is_zero, same, zero

if TYPE_CHECKING:
    from local.provider.client import Client

# The real provider first waits 10 s, then polls ever more slowly up to every 10 s. Nothing on this machine takes that long.
FIRST_POLL_S, SLOWEST_POLL_S, FIRST_RETRY_S = 0.1, 1.0, 0.5
_UNITS_S = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}


class Wait(NamedTuple):
    """Wait until a field of the object has its target value; `words` is the error, with {id} and {error}."""

    field: str
    target: str
    pending: tuple[str, ...]
    words: str


class Words(NamedTuple):
    """The real provider's error sentences, with {error} and the names of attributes to be filled in."""

    create: str
    read: str
    update: str
    delete: str


class Remote(Resource):
    """One type of resource. A subclass is a table; only what the table cannot say is a method.

    The schema says which attributes there are; all of them but `unread` are taken from the API's answer under their own name
    or the one in `renamed`.
    """

    type_name: ClassVar[str]
    path: ClassVar[str]
    key: ClassVar[str]  # the object's name in the API's answers
    words: ClassVar[Words]
    missing: ClassVar[str] = ""  # in the words of a refusal: the object is gone
    unread: ClassVar[frozenset[str]] = frozenset()
    renamed: ClassVar[dict[str, str]] = {}
    waits: ClassVar[tuple[Wait, ...]] = ()

    def __init__(self, provider: Any):
        self.api: Client = provider.client
        self.provider = provider
        self.spec = schema.load()["resources"][self.type_name]

    # What a subclass may say -------------------------------------------------------------------------------------------

    def body(self, new: State) -> dict[str, Any]:
        """The body of the create request."""
        raise NotImplementedError

    def change(self, old: State, new: State) -> None:
        """Send what an update needs."""
        raise NotImplementedError

    def settle(self, state: State) -> None:
        """What remains to be done after the object is there and its waits are over."""

    def locate(self, state: State) -> str:
        """The path of the object."""
        return f"{self.path}/{state['id']}"

    def make(self, state: State) -> None:
        """Create the object and put at least its id into the state."""
        state["id"] = str(self.api.call("POST", self.path, self.body(state))[self.key]["id"])

    def fetch(self, state: State) -> dict[str, Any]:
        """The object as the API has it."""
        return self.api.get(self.locate(state))[self.key]

    def gone(self, error: ApiError) -> bool:
        """Whether a refused read means that the object is no more."""
        return bool(self.missing) and self.missing in str(error)

    def absorb(self, state: State, found: dict[str, Any]) -> None:
        """Put what the API answered into the state."""
        for name, attribute in self.spec["attributes"].items():
            if name != "id" and name not in self.unread:
                self.put(state, name, attribute, found.get(self.renamed.get(name, name)))

    def remove(self, state: State) -> None:
        """Delete the object."""
        self.api.call("DELETE", self.locate(state))

    # What tofu asks for ------------------------------------------------------------------------------------------------

    @classmethod
    def get_name(cls) -> str:
        """The type's name without the provider's prefix."""
        return cls.type_name.removeprefix("vultr_")

    @classmethod
    def get_schema(cls) -> Schema:
        """The type's schema."""
        return schema.build(schema.load()["resources"][cls.type_name])

    def validate(self, diags: Diagnostics, type_name: str, config: State) -> None:
        """Judge what can be judged from the configuration alone."""
        for sentence, path in rules.problems(self.spec, config):
            diags.add_error(sentence, path=path)

    def create(self, ctx: Any, planned: State) -> State | None:
        """Create; once there is an id, a failure returns the state with it, so that the object is tainted and not lost."""
        state = self._known(planned, blank(self.spec))
        state["id"] = None
        try:
            self.attempt(self.words.create, state, lambda: self.make(state))
            for wait in self.waits:
                self.attempt(wait.words, state, lambda wait=wait: self.wait(state, wait.field, wait.target, wait.pending, "create"))
            self.settle(state)
            return self._refresh(state)
        except Exception as error:
            _report(ctx.diagnostics, error)
            return state if state["id"] else None

    def read(self, ctx: Any, current: State) -> State | None:
        """Read; None when the object is gone."""
        try:
            return self._refresh(dict(current))
        except Exception as error:
            _report(ctx.diagnostics, error)
            return current

    def update(self, ctx: Any, current: State, planned: State) -> State | None:
        """Update in place. A failure keeps the old state: the next refresh tells what came through."""
        state = self._known(planned, current)
        try:
            self.attempt(self.words.update, state, lambda: self.change(current, state))
            return self._refresh(state)
        except Exception as error:
            _report(ctx.diagnostics, error)
            return current

    def delete(self, ctx: Any, current: State) -> State | None:
        """Delete; a failure keeps the object in the state."""
        try:
            self.attempt(self.words.delete, current, lambda: self.remove(current))
            return None
        except Exception as error:
            _report(ctx.diagnostics, error)
            return current

    def import_(self, ctx: Any, id: str) -> State | None:
        """The start of an import: nothing but the id; tofu reads the rest."""
        return blank(self.spec) | {"id": id}

    # Tools for the methods above ---------------------------------------------------------------------------------------

    def _known(self, planned: State, instead: State) -> State:
        """A planned state without unknowns: at the top `instead` has the value, inside a block it is null."""
        state = {name: instead[name] if value is Unknown else value for name, value in planned.items()}
        for name, block in self.spec.get("blocks", {}).items():
            if block["nesting"] != "single":
                state[name] = [{n: None if v is Unknown else v for n, v in item.items()} for item in state[name]]
        return state

    def _refresh(self, state: State) -> State | None:
        try:
            found = self.fetch(state)
        except ApiError as error:
            if self.gone(error):
                return None
            raise _in_words(self.words.read, state, error) from error
        except Failure as error:
            raise _in_words(self.words.read, state, error) from error
        self.absorb(state, found)
        return state

    def put(self, state: State, name: str, attribute: dict[str, Any], value: Any) -> None:
        """Put one value into the state, in the attribute's type. A zero does not displace a null, so that no plan sees a difference."""
        if value is None:
            value = zero(attribute["type"])
        elif attribute.get("integer"):
            value = int(value)
        if not (is_zero(value) and is_zero(state[name]) and not attribute.get("computed")):
            state[name] = value

    def attempt(self, words: str, state: State, action: Callable[[], Any]) -> Any:
        """Do something; a failure is told in the real provider's words."""
        try:
            return action()
        except Failure as error:
            raise _in_words(words, state, error) from error

    def changed(self, old: State, new: State, *names: str) -> State:
        """Of `names`, those whose value an update changes, with the new value."""
        types = {name: attribute["type"] for name, attribute in self.spec["attributes"].items()}
        return {
            name: new[name]
            for name in names
            if not same(types.get(name), old[name], new[name]) and not (is_zero(old[name]) and is_zero(new[name]))
        }

    def wait(self, state: State, field: str, target: str, pending: tuple[str, ...], limit: str) -> None:
        """Poll until `field` is `target`. Raises Failure when it is neither that nor pending, or after the timeout named by `limit`."""
        timeout = (state.get("timeouts") or {}).get(limit) or "1h0m0s"
        deadline, delay = time.monotonic() + seconds(timeout), FIRST_POLL_S
        while (value := self.fetch(state).get(field)) != target:
            if value not in pending:
                raise Failure(f"unexpected state '{value}', wanted target '{target}'")
            if time.monotonic() + delay > deadline:
                raise Failure(f"timeout while waiting for state to become '{target}' (last state: '{value}', timeout: {timeout})")
            self.api.pause(delay)
            delay = min(delay * 1.5, SLOWEST_POLL_S)

    def persist(self, action: Callable[[], Any], *busy: str, limit_s: float = 19 * 60) -> Any:
        """Repeat an action while the refusal has one of the words in `busy`."""
        deadline, delay = time.monotonic() + limit_s, FIRST_RETRY_S
        while True:
            try:
                return action()
            except ApiError as error:
                if time.monotonic() + delay > deadline or not any(word in str(error) for word in busy):
                    raise
            self.api.pause(delay)
            delay = min(delay * 2, 10.0)


def seconds(duration: str) -> float:
    """A duration such as `1h0m0s` or `90s` in seconds. Raises Failure for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise Failure(f'timeouts: "{duration}" is not a duration such as "30m" or "1h30m"')
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def without_zeros(body: dict[str, Any], *kept: str) -> dict[str, Any]:
    """A request body without the fields that are empty. `False` stays: a field that goes when false is given as None."""
    return {name: value for name, value in body.items() if name in kept or value is False or not is_zero(value)}


def _in_words(words: str, state: State, error: Failure) -> Failure:
    if isinstance(error, Told):
        return error
    told = Told(words.format_map({**state, "id": state["id"] or "", "error": error}))
    told.hint = error.hint
    return told


def _report(diags: Diagnostics, error: Exception) -> None:
    if isinstance(error, Failure):
        diags.add_error(str(error), error.hint)
    else:
        diags.add_error(f"the API's answer cannot be used: {type(error).__name__}: {error}")
