"""The description of the server's paths, as OpenAPI 3.1 has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from glpn_cli import __version__

_ERRORS = {
    400: "A parameter, the form or the Host header makes no sense, or there is no picture.",
    401: "The token is missing or wrong.",
    403: "A page of another site may not send pictures.",
    408: "The picture did not arrive in time.",
    413: "More bytes or more pixels than are allowed.",
    415: "Nothing that is read here: no picture, or a depth map.",
    422: "A picture that is damaged, cut short, or crashes or stalls its decoder.",
    500: "A bug in glpn.",
    503: "The queue is full, or the server is going down.",
    504: "The answer was not made in time.",
}


def describe_api(formats: Sequence[str], *, has_token: bool) -> dict[str, Any]:
    """The document for a server that sends these formats."""
    security: list[dict[str, list[str]]] = [{"token": []}] if has_token else []
    plain = {"text/plain": {"schema": {"type": "string"}}}
    not_ready = {"503": {"description": "Not now.", "content": plain}}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "glpn", "version": __version__, "description": "Depth maps in metres from single pictures."},
        "paths": {
            "/v1/depth": {
                "post": {
                    "operationId": "depth",
                    "summary": "The depth of a picture",
                    "parameters": _parameters(formats),
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                            "image/*": {"schema": {"type": "string", "format": "binary"}},
                            "multipart/form-data": {
                                "schema": {
                                    "type": "object",
                                    "properties": {"file": {"type": "string", "format": "binary"}},
                                    "required": ["file"],
                                }
                            },
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "The file that glpn predict writes; its record where JSON is accepted.",
                            "headers": {
                                "X-Warnings": {
                                    "description": "Codes of the record's warnings, beside a file.",
                                    "schema": {"type": "string"},
                                }
                            },
                            "content": {
                                "application/json": {"schema": {"$ref": "#/components/schemas/result"}},
                                **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in _MEDIA_TYPES},
                            },
                        },
                        **{str(status): _error(words) for status, words in _ERRORS.items()},
                    },
                    "security": security,
                }
            },
            "/": {"get": _get("page", "A page to try it", {"text/html": {"schema": {"type": "string"}}})},
            "/healthz": {"get": _get("health", "Whether the process answers", plain)},
            "/readyz": {"get": _get("ready", "Whether pictures are taken", plain, not_ready)},
            "/metrics": {"get": _get("metrics", "Counts and times for Prometheus", plain) | {"security": security}},
            "/openapi.json": {
                "get": _get("openapi", "This document", {"application/json": {"schema": {"type": "object"}}})
            },
        },
        "components": {"schemas": _record_schemas()},
    }
    if has_token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["paths"]["/metrics"]["get"]["responses"]["401"] = _error(_ERRORS[401])
    return document


_MEDIA_TYPES = ("image/png", "image/tiff", "image/x-exr", "application/octet-stream")


def _parameters(formats: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": "format",
            "in": "query",
            "description": f"Format of the file; {formats[0]} where JSON is not asked for.",
            "schema": {"enum": list(formats)},
        },
        {
            "name": "name",
            "in": "query",
            "description": "Name of the picture, which the file records.",
            "schema": {"type": "string"},
        },
        {
            "name": "as",
            "in": "query",
            "description": "picture: greys of more than 8 bits are no depth map.",
            "schema": {"enum": ["auto", "picture"], "default": "auto"},
        },
    ]


def _record_schemas() -> dict[str, Any]:
    """The schemas of the JSON records, as components."""
    text = files("glpn_cli.pipeline").joinpath("records.schema.json").read_text("utf-8")
    schemas: dict[str, Any] = json.loads(text.replace("#/$defs/", "#/components/schemas/"))["$defs"]
    schemas["failure"] = {
        "type": "object",
        "properties": {"error": {"$ref": "#/components/schemas/error"}},
        "required": ["error"],
    }
    return schemas


def _error(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/failure"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _get(name: str, summary: str, content: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    responses = {"200": {"description": summary, "content": content}, "400": _error(_ERRORS[400]), **(others or {})}
    return {"operationId": name, "summary": summary, "responses": responses}
