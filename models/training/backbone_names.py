"""Names of networks: what people write, and what timm and torchvision call it.

Needs timm and torchvision (the `train` extra).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache

import timm
import torchvision.models as torchvision_models  # type: ignore[import-untyped] # has no types

from errors import UsageError

#: What people call a network that no library calls so.
ALIASES = {"mobilenet": "mobilenetv1_100"}
#: Name of a network for each name that people may write, by library.
Names = Mapping[str, Mapping[str, str]]


def resolve(name: str) -> list[str]:
    """Return the networks that a name means, as LIBRARY/NAME, the likeliest first.

    Case, `-`, `_` and spaces do not matter: VGG-16 is vgg16. A tag of timm's weights may follow:
    resnet50.a1_in1k. Raises UsageError with the nearest names where there is none.
    """
    library, _, asked = name.strip().rpartition("/")
    asked = ALIASES.get(_plain(asked), asked)
    architecture, _, tag = asked.partition(".")
    exact, alike = [], []
    for own, names in _known().items():
        if library.lower() not in ("", own) or (tag and own != "timm"):
            continue
        if architecture in names:
            exact.append(f"{own}/{_tagged(names[architecture], tag)}")
        elif _plain(architecture) in names:
            alike.append(f"{own}/{_tagged(names[_plain(architecture)], tag)}")
    if not exact and not alike:
        raise UsageError(
            f"--backbone {name}: timm and torchvision have no such network{_near(architecture)}"
        )
    return exact + alike


def _tagged(name: str, tag: str) -> str:
    """Return a name of timm with a tag. Raises UsageError where timm has no such weights."""
    if not tag:
        return name
    name = name.partition(".")[0]
    known = [one.partition(".")[2] for one in timm.list_pretrained(f"{name}.*")]
    if tag not in known:
        raise UsageError(
            f"--backbone {name}.{tag}: timm has no such weights; of {name} it has "
            f"{', '.join(known) or 'none'}"
        )
    return f"{name}.{tag}"


def _near(asked: str) -> str:
    """Suggest names that resemble one."""
    plain = {_plain(n): n for names in _known().values() for n in names.values()}
    near = difflib.get_close_matches(_plain(asked), plain, n=5, cutoff=0.6)
    return f"; did you mean {', '.join(plain[n] for n in near)}?" if near else ""


@cache
def _known() -> Names:
    """List the networks of both libraries: by their names, former names, and plain names."""
    former = timm.models.get_deprecated_models()
    libraries = {
        "timm": {**{n: new for n, new in former.items() if new}, **_same(timm.list_models())},
        "torchvision": _same(torchvision_models.list_models(module=torchvision_models)),
    }
    return {
        library: {**{_plain(n): new for n, new in reversed(names.items())}, **names}
        for library, names in libraries.items()
    }


def _same(names: list[str]) -> dict[str, str]:
    return {name: name for name in names}


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())
