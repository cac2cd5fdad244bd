"""The OpenAPI document → what the page of the API shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_DEEPEST = 12  # references within references


@dataclass(frozen=True)
class Parameter:
    """What may stand in an address or in a header."""

    name: str
    where: str
    required: bool
    kind: str
    description: str


@dataclass(frozen=True)
class Content:
    """A body of one media type: an example where there is one, and its schema."""

    media_type: str
    example: str
    schema: str


@dataclass(frozen=True)
class Answer:
    """What may come back."""

    status: str
    description: str
    contents: tuple[Content, ...]


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked."""

    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    bodies: tuple[Content, ...]
    answers: tuple[Answer, ...]

    @property
    def good(self) -> tuple[Answer, ...]:
        """What comes back where all is well."""
        return tuple(each for each in self.answers if each.status.startswith("2"))

    @property
    def refused(self) -> str:
        """The other answers, in a line."""
        others = sorted(f"{each.status} {each.description}" for each in self.answers if each not in self.good)
        return ", ".join(others)

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return f"{self.method}{self.path}".replace("/", "-").replace("{", "").replace("}", "")


def operations(document: Node) -> list[Operation]:
    """Return all that can be asked, in the document's order."""
    return [
        _operation(method, path, item[method], item, document)
        for path, item in document["paths"].items() for method in _METHODS if method in item
    ]  # fmt: skip


def _operation(method: str, path: str, said: Node, item: Node, document: Node) -> Operation:
    given = [_resolved(each, document) for each in (*item.get("parameters", ()), *said.get("parameters", ()))]
    answers = [_answer(status, _resolved(each, document)) for status, each in said.get("responses", {}).items()]
    bodies = _contents(_resolved(said.get("requestBody", {}), document))
    return Operation(
        method, path, said.get("summary", ""), tuple(said.get("description", "").split("\n\n")),
        tuple(map(_parameter, given)), tuple(bodies), tuple(answers),
    )  # fmt: skip


def _parameter(said: Node) -> Parameter:
    schema = said.get("schema", {})
    kind = schema.get("type") or " or ".join(each.get("type", "") for each in schema.get("anyOf", ()))
    default = f"; {json.dumps(schema['default'])} if not given" if "default" in schema else ""
    return Parameter(
        said["name"], said["in"], said.get("required", False), f"{kind}{default}", said.get("description", "")
    )


def _answer(status: str, said: Node) -> Answer:
    return Answer(status, said.get("description", ""), tuple(_contents(said)))


def _contents(said: Node) -> Iterator[Content]:
    for media_type, content in said.get("content", {}).items():
        schema = content.get("schema", {})
        named = [each["value"] for each in content.get("examples", {}).values() if "value" in each]
        found = [content["example"]] if "example" in content else [*named, *schema.get("examples", ())]
        yield Content(media_type, _written(found[0]) if found else "", _written(schema) if schema else "")


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _resolved(node: Any, document: Node, depth: int = 0) -> Any:
    """Return a part of the document with what it refers to in place, as deep as anybody reads."""
    if isinstance(node, list):
        return [_resolved(each, document, depth) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and depth < _DEEPEST:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return _resolved(found, document, depth + 1)
    return {key: _resolved(value, document, depth) for key, value in node.items()}
