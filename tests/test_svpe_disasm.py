"""``python -m gen.disasm`` on programs, and on what is none."""

import json

import pytest
from typer.testing import CliRunner

from gen.disasm import app, listing
from gen.svpe.compile import compile
from gen.svpe.records import Op

from .svpe_networks import SMALL, Chain

PROGRAM = compile(Chain((8, 8, 2)).conv(6, 3, pads=1).rescale().conv(3, 8).network(), SMALL, build=0xabc)
NAMES = [layer.name for layer in PROGRAM.layers]


def printed(*arguments):
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.stderr.split()), result.stdout.splitlines()


def test_a_line_for_each_record(tmp_path):
    (tmp_path / "net.bin").write_bytes(PROGRAM.image.tobytes())
    status, _, lines = printed(tmp_path / "net.bin")
    assert status == 0 and lines == list(listing(PROGRAM.records)) and len(lines) == len(PROGRAM.records)
    assert lines[0].split() == ["0", "HEADER", "build=0xabc", f"records={len(lines)}"]
    assert lines[-1].split()[1:] == ["END"]
    drain = next(line for line, record in zip(lines, PROGRAM.records, strict=True) if record.op == Op.DRAIN)
    assert " kernel=1 " in drain and " [loads>=" in drain and "passes>=" in drain


def test_layers_by_name(tmp_path):
    PROGRAM.write(tmp_path / "net.bin")
    lines = printed(tmp_path / "net.bin")[2]
    found = [line[:-1] for line in lines if line.endswith(":")]
    assert found[0] == NAMES[0] and set(found) == set(NAMES)
    facts = json.loads((tmp_path / "net.json").read_text())
    assert facts["size"] == PROGRAM.size and facts["input"]["address"] == PROGRAM.source.address


IMAGE = PROGRAM.image.tobytes()


@pytest.mark.parametrize(("content", "message"), [
    (b"", "the program has no END"),
    (IMAGE[:320], "the program has no END"),
    (b"text\n" * 100, "is no program of the array"),
    (IMAGE[32:], "starts with HEADER"),
    (IMAGE[:32] + IMAGE, "has no other one"),
    (IMAGE[:32] + PROGRAM.records[-1].to_bytes(), "HEADER tells of"),
])
def test_no_program(content, message, tmp_path):
    (tmp_path / "net.bin").write_bytes(content)
    status, error, lines = printed(tmp_path / "net.bin")
    assert status == 2 and error.startswith("Error: ") and message in error and not lines


@pytest.mark.parametrize("facts", ["{", "[]", '{"layers": ["a"], "owners": [0, 1]}', '{"layers": ["a"], "owners": [0]}',
                                   '{"layers": ["a"], "owners": 3}'])
def test_names_of_another_program(facts, tmp_path):
    (tmp_path / "net.bin").write_bytes(IMAGE)
    (tmp_path / "net.json").write_text(facts)
    status, error, _ = printed(tmp_path / "net.bin")
    assert status == 2 and "net.json" in error and "remove it, or build again" in error


def test_missing_file(tmp_path):
    status, error, _ = printed(tmp_path / "none.bin")
    assert status == 2 and "none.bin" in error
