"""Records of the array: fields, bytes, and what is refused."""

import numpy as np
import pytest

from gen.svpe.records import HEAD, LAYOUTS, PARAMETERS, PATTERN, RECORD, Op, Record, pack, unpack

RNG = np.random.default_rng(0)


def random_record(op):
    def value(bits):
        return int.from_bytes(RNG.bytes(8), "little") % (1 << bits)

    waits = {name: value(16) for name in ("after_loads", "after_passes", "after_drains")}
    return Record(op, {name: value(bits) for name, bits in LAYOUTS[op]}, **waits)


@pytest.mark.parametrize("op", Op)
def test_there_and_back(op):
    for _ in range(20):
        record = random_record(op)
        assert Record.from_bytes(record.to_bytes()) == record and len(record.to_bytes()) == RECORD // 8


@pytest.mark.parametrize("op", Op)
def test_fields_fit(op):
    assert sum(bits for _, bits in HEAD + LAYOUTS[op]) <= RECORD


def test_fields_of_other_words_fit():
    assert sum(bits for _, bits in PATTERN) <= 128 and sum(bits for _, bits in PARAMETERS) <= 128


def test_fields_lie_low_first():
    record = Record(Op.PASS, {"first": 1, "pattern": 5}, after_loads=3)
    assert int.from_bytes(record.to_bytes(), "little") == Op.PASS | 3 << 8 | (1 | 5 << 2) << sum(b for _, b in HEAD)


def test_negative_values():
    word = pack(PARAMETERS, {"factor": -3, "addend": -1 << 63, "shift": 5})
    assert unpack(PARAMETERS, word) == {"factor": (1 << 32) - 3, "addend": 1 << 63, "shift": 5}


def test_refusals():
    with pytest.raises(ValueError, match="lead is 4, which does not fit 2 bits"):
        pack(PATTERN, {"lead": 4})
    with pytest.raises(ValueError, match="lead is -3"):
        pack(PATTERN, {"lead": -3})
    with pytest.raises(ValueError, match="no such field: leads"):
        pack(PATTERN, {"leads": 1})
    with pytest.raises(ValueError, match="9"):
        Record.from_bytes(bytes([9]) + bytes(31))
