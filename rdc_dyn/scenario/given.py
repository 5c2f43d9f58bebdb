"""Objects that were passed in Python in place of sections: recorded by their names and the digests of their sources."""

import hashlib
import inspect
import re
from typing import Any, NoReturn

from pydantic import Field

from rdc_dyn.scenario.section import Section
from rdc_dyn.status import UserError

#: Value of the key that tells members apart.
GIVEN = "given"


class Given(Section):
    """What stands in a scenario for an object that no file holds."""

    object: str = Field(description="qualified name of its class")
    source: str = Field(description="digest of its source and its parameters")

    def taken(self, name: str, thing: Any) -> Any:
        """The object, which a run that goes on must be given again, unchanged."""
        if thing is None:
            raise UserError(
                f"{name}: {self.object} was passed in Python, and no file holds it; pass it again, {name}={self.object}"
            )
        record = recorded(thing)
        if record != {"object": self.object, "source": self.source}:
            was, now = (self.source[:12], record["source"][:12])
            raise UserError(
                f"{name}: {record['object']} with source {now} is not what the run began with, {self.object} with "
                f"{was}; pass that one"
            )
        return thing

    def build(self, *_: Any) -> NoReturn:
        """A `UserError`: it cannot be built."""
        raise UserError(f"{self.object} was passed in Python, and no file holds it")


def recorded(thing: Any) -> dict[str, str]:
    """The qualified name of an object's class, and the digest of its source and of what the object says of itself."""
    kind = type(thing)
    try:
        text = inspect.getsource(kind)
    except (OSError, TypeError):  # typed at a prompt: what it compiles to
        text = "".join(
            f"{name} {member.__code__.co_code.hex()} {member.__code__.co_consts}"
            for name, member in sorted(vars(kind).items())
            if inspect.isfunction(member)
        )
    if kind.__repr__ is not object.__repr__:  # type: ignore[comparison-overlap]
        text += re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))  # an address is another in each process
    return {"object": f"{kind.__module__}.{kind.__qualname__}", "source": hashlib.sha256(text.encode()).hexdigest()}
