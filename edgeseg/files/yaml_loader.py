"""PyYAML's safe loader with the truth values of YAML 1.2 and with limits; apart, for it loads PyYAML."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

_MAX_ALIASES = 1000
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's truth values: ``on``, ``off``, ``yes`` and ``no`` are words.

    Args:
        text: the document.
        deepest: how many lists and mappings may stand in each other.
    """

    def __init__(self, text: str, deepest: int) -> None:
        super().__init__(text)
        self._deepest = deepest
        self._depth = 0
        self._aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count what nests and what repeats, which small files can make endless."""
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MAX_ALIASES:
                raise yaml.YAMLError(f"more than {_MAX_ALIASES} aliases")
        self._depth += 1
        if self._depth > self._deepest:
            raise yaml.YAMLError(f"nested more than {self._deepest} deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """As PyYAML, but a key that comes twice is an error: the first value would be lost without a word."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.YAMLError(f"the key {key.value!r} comes twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
