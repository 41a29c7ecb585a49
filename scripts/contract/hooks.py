"""How schemathesis writes the bodies it does not know."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    return (json.dumps(value) + "\n").encode()


@schemathesis.serializer("application/msgpack")
def binary(ctx, value):
    if isinstance(value, list) and all(isinstance(v, int) for v in value):
        return bytes(v & 0xFF for v in value)
    return value if isinstance(value, bytes) else str(value).encode()
