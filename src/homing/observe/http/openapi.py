"""The description of the API by OpenAPI 3.1, made of the observer's requests, their fields and their records."""

from __future__ import annotations

import inspect
import re
import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from .. import records
from ..fields import LONGEST_TEXT, Field
from ..merged import MergedObserver
from ..observer import Observer, Request, Stream

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}

_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}


def describe(observer: Observer | MergedObserver) -> Schema:
    """Returns the description of an API for the requests and streams of an observer."""
    schemas = Schemas()
    paths: Schema = {}
    for what, kind in observer.requests.items():
        if not kind.over_http:
            continue
        paths[f"/api/v1/{what}"] = {"post" if kind.changes else "get": _operation(what, kind, schemas)}
    for what, stream in observer.streams.items():
        paths[f"/api/v1/stream/{what}"] = {"get": _operation(f"stream of {what}", stream, schemas)}
    paths |= _fixed(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Homing",
            "version": "1",
            "description": "A running node. Times are seconds, sizes bytes, rates per second. An answer with the "
            "header Age is that many seconds old: the node does not answer at present.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, **schemas.made},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


class Schemas:
    """JSON schemas of the records. made: those of all records met so far, by name."""

    def __init__(self) -> None:
        self.made: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """Returns the schema of a type of the records."""
        if is_typeddict(kind):
            return self._record(kind)
        origin, args = get_origin(kind), get_args(kind)
        if origin is NotRequired:
            return self.of(args[0])
        if origin is list:
            return {"type": "array", "items": self.of(args[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(args[1])}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(arg) for arg in args]}
        if origin is Literal:
            return {"enum": list(args)}
        return dict(_PLAIN.get(kind, {}))

    def _record(self, kind: Any) -> Schema:
        name = kind.__name__
        if name not in self.made:
            self.made[name] = {}  # a record may hold others of its kind
            hints = get_type_hints(kind, include_extras=True)  # `__required_keys__` is wrong with annotations as text
            self.made[name] = {
                "type": "object",
                "description": inspect.getdoc(kind) or "",
                "properties": {key: self.of(hint) for key, hint in hints.items()},
                "required": sorted(key for key, hint in hints.items() if get_origin(hint) is not NotRequired),
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def answer(self, handler: Any) -> Schema:
        """Returns the schema of what a handler is declared to return or to yield."""
        declared = str(getattr(handler, "__annotations__", {}).get("return", ""))
        name = re.sub(r".*\[|\].*", "", declared)
        record = getattr(records, name, None)
        return self.of(record) if is_typeddict(record) else {"type": "object"}


def _operation(what: str, kind: Request | Stream, schemas: Schemas) -> Schema:
    streams = isinstance(kind, Stream)
    content = {"text/event-stream": {"schema": {"type": "string"}}} if streams else _json(schemas.answer(kind.handler))
    operation: Schema = {
        "operationId": re.sub(r"\W+", "_", what),
        "summary": (inspect.getdoc(kind.handler) or what).split("\n\n")[0].replace("\n", " "),
        "responses": {"200": {"description": "The answer.", "content": content}, **_errors()},
    }
    if streams:
        item = schemas.answer(kind.handler).get("$ref", "an object").rpartition("/")[2]
        operation["description"] = f"Server-sent events; the data of each is JSON, {item}."
    if kind.changes and not streams:
        operation["requestBody"] = {"required": True, "content": _json(_object(kind.fields))}
    else:
        operation["parameters"] = [_parameter(name, field) for name, field in kind.fields.items()]
    return operation


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _errors() -> Schema:
    error = _json({"$ref": "#/components/schemas/Error"})
    return {"default": {"description": "An error; the code says which.", "content": error}}


def _object(fields: Any) -> Schema:
    return {
        "type": "object",
        "properties": {name: _field(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.required],
        "additionalProperties": False,
    }


def _parameter(name: str, field: Field) -> Schema:
    schema = _field(field)
    return {"name": name, "in": "query", "required": field.required, "description": field.text, "schema": schema}


def _field(field: Field) -> Schema:
    kinds = {"integer": "integer", "number": "number", "flag": "boolean", "text": "string", "object": "object"}
    schema: Schema = {"type": kinds[field.kind]} if field.kind in kinds else {}
    if field.kind == "choice":
        schema = {"type": "string", "enum": list(field.choices)}
    if field.kind == "text":
        schema["maxLength"] = LONGEST_TEXT
    if field.low is not None:
        schema["minimum"] = field.low
    if field.high is not None:
        schema["maximum"] = field.high
    if field.nullable and "type" in schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if not field.required and (field.default is not None or field.nullable):
        schema["default"] = field.default
    return schema


def _fixed(schemas: Schemas) -> Schema:
    """The paths that are no requests of the observer."""
    check = schemas.of(records.CheckRecord)
    health = {
        "type": "object",
        "properties": {
            "ok": {"type": "boolean"},
            "checks": {"type": "array", "items": check},
            "age": {"type": "number", "description": "Seconds since the facts were true."},
        },
        "required": ["ok"],
    }
    paths: Schema = {}
    for probe, text in (
        ("live", "Whether the event loop turns."),
        ("ready", "Whether the node can serve."),
        ("startup", "Whether the application has started."),
    ):
        answers = {"200": {"description": "It is.", "content": _json(health)}}
        answers["503"] = {"description": "It is not.", "content": _json(health)}
        operation = {"operationId": f"health_{probe}", "summary": text, "responses": {**answers, **_errors()}}
        paths[f"/health/{probe}"] = {"get": {**operation, "security": [{}]}}
    formats: Schema = {"text/plain": {}, "application/openmetrics-text": {}}
    answer = {"200": {"description": "The metrics.", "content": formats}, **_errors()}
    paths["/metrics"] = {
        "get": {"operationId": "metrics_text", "summary": "Metrics for Prometheus.", "responses": answer}
    }
    answer = {"200": {"description": "This description.", "content": _json({"type": "object"})}, **_errors()}
    paths["/openapi.json"] = _get("openapi", "This description.", answer)
    return paths


def _get(name: str, summary: str, responses: Schema) -> Schema:
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}
