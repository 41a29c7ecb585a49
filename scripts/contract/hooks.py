"""How schemathesis writes the bodies it does not know, and that a refusal has a code its operation documents."""

import json
import struct

import msgpack
import schemathesis
from hypothesis import strategies as st

CHANNELS = ["Ia", "Ib", "Ic", "Ua", "Ub", "Uc", "vibration_x", "vibration_y", "vibration_z", "speed"]
READINGS = ["temperature", "insulation_resistance", "leakage_current", "rpm"]


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    # The document's own example is text of several lines already.
    return value.encode() if isinstance(value, str) else (json.dumps(value) + "\n").encode()


samples = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=64)
channels = st.fixed_dictionaries(
    {
        "name": st.sampled_from(CHANNELS),
        "rate_hz": st.floats(1, 1e5),
        "f32le": samples.map(lambda values: struct.pack(f"<{len(values)}f", *values)),
    }
)
# The binary form of a block: docs of crates/protocol/src/codec/binary.rs.
blocks = st.fixed_dictionaries(
    {"v": st.just(1), "channels": st.lists(channels, min_size=1, max_size=3, unique_by=lambda c: c["name"])},
    optional={
        "start_s": st.none() | st.floats(0, 1e9),
        "synchronous": st.booleans(),
        "readings": st.dictionaries(st.sampled_from(READINGS), st.floats(0, 1e3), max_size=2),
    },
)
# Every tenth is broken off.
binary = st.tuples(blocks.map(msgpack.packb), st.integers(0, 9)).map(lambda b: b[0][:-1] if b[1] == 0 else b[0])
schemathesis.openapi.media_type("application/msgpack", binary)


@schemathesis.hook
def map_body(ctx, body):
    """A batch is messages, each with its block, one after the other."""
    if isinstance(body, bytes) and ctx.operation is not None and ctx.operation.path == "/api/v1/messages":
        message = msgpack.packb({"vehicle_id": "contract", "block": body, "metadata": "{}"})
        return message * 2
    return body


@schemathesis.check
def documented_code(ctx, response, case):
    """The code of a refusal is among the examples of its operation and status."""
    if response.status_code < 400:
        return
    raw = case.operation.definition.raw
    documented = raw["responses"].get(str(response.status_code), {}).get("content", {})
    codes = {code for content in documented.values() for code in content.get("examples", {})}
    if codes:
        code = response.json().get("code")
        assert code in codes, f"{code} is not among the documented {sorted(codes)}"
