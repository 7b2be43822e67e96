"""Prints the ARROW:schema of archives (src/archive/Archiver/columns.ts). Needs pyarrow."""

import base64

import pyarrow as pa

names = pa.dictionary(pa.int32(), pa.string())
time = pa.timestamp("us", "UTC")
schema = pa.schema(
    [
        pa.field("exchange", names, nullable=False),
        pa.field("symbol", names, nullable=False),
        pa.field("data_type", names, nullable=False),
        pa.field("exchange_sequence_id", pa.string(), nullable=False),
        pa.field("timestamp", time, nullable=False),
        pa.field("exchange_timestamp", time),
        pa.field("data", pa.string(), nullable=False),
    ]
)
print(base64.b64encode(schema.serialize().to_pybytes()).decode())
