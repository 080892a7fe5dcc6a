"""Paths between the registers of a mapped netlist, and what they cost in levels of logic.

A path costs, in levels,

* 1 for each LUT, multiplexer of the slice (MUXF7 to MUXF9), LUT memory or shift register that is read;
* 2 for each carry chain, and 1 more for every 64 bits of it. Cells in cascade are one chain;
* 1 1/2 where it begins in a block memory without output register, whose data comes 0.9 ns late;
* nothing for an inverter, which goes into the LUT behind it.

A DSP block is an end, like a register: what is between its own registers is not counted. Paths of modules are joined at
their ports.
"""

import re
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["RULE", "Path", "Summary", "summary"]

RULE = 4
CHAIN, BIT, BLOCK = 2, 1 / 64, 1.5

LOGIC = re.compile(r"LUT[1-6]|MUXF[789]")
REGISTERS = re.compile(r"FD[RSCP]E(_1)?")
MEMORIES = re.compile(r"RAM\d+[XM]\w*|SRLC?\d+E")  # read without a clock
BLOCKS = re.compile(r"RAMB\d+E2|URAM288|DSP48E2")
CLOCKS = re.compile(r"W?CLK|C|CLK\w*CLK\w*|RDCLK")
WRITTEN = re.compile(r"DI\w*|D|WE\d?|WSEL|CE")  # what memories in LUTs take at the clock only


class Path(NamedTuple):
    """Logic from one register to another, or from or to a port of a module.

    Parameters
    ----------
    levels : float
        What it costs: :data:`RULE` holds for the whole ones.
    luts : int
        LUTs, multiplexers, LUT memories.
    chains, bits : int
        Carry chains, and bits in all of them together.
    start, end : str
        Registers, ``instance.register[bit]``, the end with its pin unless it is the data; or ``port NAME[bit]``.
    through : tuple of str
        Nets between them that have names.
    """

    levels: float = 0
    luts: int = 0
    chains: int = 0
    bits: int = 0
    start: str = ""
    end: str = ""
    through: tuple = ()

    def then(self, other):
        """Both paths in one, the ``other`` behind this."""
        return Path(*(a + b for a, b in zip(self[:4], other[:4], strict=True)), self.start or other.start,
                    other.end or self.end, self.through + other.through)

    @property
    def deep(self):
        """Whether this breaks the rule."""
        return int(self.levels) > RULE

    def within(self, instance):
        """The same path as seen from outside of ``instance``."""
        start, end = (name and f"{instance}.{name}" for name in (self.start, self.end))
        return self._replace(start=start, end=end, through=tuple(f"{instance}.{name}" for name in self.through))


LUT = Path(1, 1)
ENTER, ONWARD, FREE = Path(CHAIN + BIT, 0, 1, 1), Path(BIT, 0, 0, 1), Path()


@dataclass(frozen=True)
class Summary:
    """A module as those around it see it; bits of ports are (port, number).

    Parameters
    ----------
    starts, ends : dict
        For an output the deepest path from a register to it, for an input the deepest from it to a register.
    arcs : dict
        For (input, output) the deepest path between them.
    worst : Path
        The deepest with a net of the module itself, not of what it holds.
    """

    starts: dict
    ends: dict
    arcs: dict
    worst: Path


class _Graph:
    """Nets of a module, and what is between them.

    Nodes are numbers: those of nets in Yosys' netlist, and negative ones within carry chains.
    """

    def __init__(self, netlist):
        self.edges, self.starts, self.ends = [], defaultdict(list), defaultdict(list)
        self.names, self.inner = {}, 0
        for name, net in sorted(netlist["netnames"].items(), key=lambda item: item[1].get("hide_name", 0)):
            for number, bit in enumerate(net["bits"]):
                text = f"{name}[{number}]" if len(net["bits"]) > 1 else name
                self.names.setdefault(bit, "" if net.get("hide_name") else text)
        for cell in netlist["cells"].values():  # a register that starts at 1 may be kept inverted
            if cell["type"] == "INV":
                (source,), (target,) = cell["connections"]["I"], cell["connections"]["O"]
                self.names[source] = self.names.get(source) or self.names.get(target, "")
        self.inputs, self.outputs = (
            {(name, number): bit for name, port in netlist["ports"].items() if port["direction"] == direction
             for number, bit in enumerate(port["bits"]) if isinstance(bit, int)} for direction in ("input", "output"))

    def arc(self, source, target, path):
        """There is logic from one net to another; either may be a constant, which is no net."""
        if isinstance(source, int) and isinstance(target, int):
            self.edges.append((source, target, path))

    def start(self, bit, path):
        """A path begins at a register and leads to ``bit``."""
        if isinstance(bit, int):
            self.starts[bit].append(path)

    def end(self, bit, path):
        """A path leads from ``bit`` to a register."""
        if isinstance(bit, int):
            self.ends[bit].append(path)

    def node(self):
        """A new node within a cell."""
        self.inner -= 1
        return self.inner


def _bits(cell, direction):
    """(port, number, bit) of the ports of a cell in that direction, without its clocks."""
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction and not CLOCKS.fullmatch(port):
            for number, bit in enumerate(bits):
                yield port, number, bit


def _register(graph, name, cell):
    (q,) = cell["connections"]["Q"]
    label = graph.names.get(q) or name
    graph.start(q, Path(start=label))
    for port, _, bit in _bits(cell, "input"):
        graph.end(bit, Path(end=label if port == "D" else f"{label}/{port}"))


def _block(graph, name, cell):
    """A block memory, or a DSP block."""
    registered = {port: int(cell["parameters"].get(f"DO{port}_REG", "1"), 2) for port in "AB"}
    for port, number, bit in _bits(cell, "output"):
        late = cell["type"].startswith("RAMB") and not registered["B" if "B" in port else "A"]
        graph.start(bit, Path(BLOCK * late, start=f"{name}/{port}[{number}]"))
    for port, number, bit in _bits(cell, "input"):
        graph.end(bit, Path(end=f"{name}/{port}[{number}]"))


def _memory(graph, name, cell):
    """A memory in LUTs: written at the clock, read at once, each output by the address of its letter if it has any."""
    outputs = list(_bits(cell, "output"))
    for _, _, bit in outputs:
        graph.start(bit, LUT._replace(start=graph.names.get(bit) or name))
    for port, _, bit in _bits(cell, "input"):
        graph.end(bit, Path(end=f"{name}/{port}"))
        if not WRITTEN.fullmatch(port):
            for target, _, read in outputs:
                if not port.startswith("ADDR") or port[4:] == target[2:]:
                    graph.arc(bit, read, LUT)


def _double(graph, cell):
    """A LUT of two outputs, each behind those inputs that can change it."""
    init, pins = int(cell["parameters"]["INIT"], 2), cell["connections"]
    for output, size in (("O5", 5), ("O6", 6)):
        for number in range(size):
            words = (word for word in range(1 << size) if not word >> number & 1)
            if any((init >> word ^ init >> (word | 1 << number)) & 1 for word in words):
                for target in pins.get(output, ()):
                    graph.arc(pins[f"I{number}"][0], target, LUT)


def _carry(graph, cell, cascades):
    """A cell of a carry chain; ``cascades`` are the nets that come out of one by its carry."""
    pins = {port: dict(enumerate(bits)) for port, bits in cell["connections"].items()}
    carry, dual = graph.node(), cell["parameters"].get("CARRY_TYPE") == "DUAL_CY4"
    for port in ("CI", "CYINIT"):
        for bit in pins.get(port, {}).values():
            graph.arc(bit, carry, FREE if port == "CI" and bit in cascades else ENTER)
    for number, select in pins["S"].items():
        if dual and number == 4:
            carry = graph.node()
            graph.arc(pins["CI_TOP"].get(0), carry, ENTER)
        total, following = pins.get("O", {}).get(number), graph.node()
        graph.arc(select, total, ENTER)
        graph.arc(carry, total, ONWARD)
        graph.arc(carry, following, ONWARD)
        graph.arc(select, following, ENTER)
        graph.arc(pins["DI"].get(number), following, ENTER)
        graph.arc(following, pins.get("CO", {}).get(number), FREE)
        carry = following


def _instance(graph, name, cell, summary):
    """A module that this one holds."""
    bits = {(port, number): bit for port, bits in cell["connections"].items() for number, bit in enumerate(bits)}
    for pin, path in summary.starts.items():
        graph.start(bits.get(pin), path.within(name))
    for pin, path in summary.ends.items():
        graph.end(bits.get(pin), path.within(name))
    for (source, target), path in summary.arcs.items():
        graph.arc(bits.get(source), bits.get(target), path.within(name))


def _graph(netlist, summaries):
    """Nets of a module, with the ``summaries`` of those that it holds."""
    graph = _Graph(netlist)
    cascades = {bit for cell in netlist["cells"].values() if cell["type"] in ("CARRY4", "CARRY8")
                for bit in cell["connections"].get("CO", [])}
    for name, cell in netlist["cells"].items():
        kind = cell["type"]
        if kind in summaries:
            _instance(graph, name, cell, summaries[kind])
        elif kind in ("CARRY4", "CARRY8"):
            _carry(graph, cell, cascades)
        elif kind == "LUT6_2":
            _double(graph, cell)
        elif LOGIC.fullmatch(kind) or kind == "INV":
            for _, _, target in _bits(cell, "output"):
                for _, _, source in _bits(cell, "input"):
                    graph.arc(source, target, FREE if kind == "INV" else LUT)
        else:
            _end(kind)(graph, name, cell)
    return graph


def _end(kind):
    """What enters a cell at which paths end into a graph."""
    for pattern, enter in ((REGISTERS, _register), (MEMORIES, _memory), (BLOCKS, _block)):
        if pattern.fullmatch(kind):
            return enter
    raise RuntimeError(f"nothing is known of the timing of cells {kind}")


def _ordered(following):
    """Nodes by number of their place, each behind all that lead to it."""
    waiting = defaultdict(int)
    for edges in following.values():
        for target, _ in edges:
            waiting[target] += 1
    free, order = deque(node for node in following if not waiting[node]), {}
    while free:
        node = free.popleft()
        order[node] = len(order)
        for target, _ in following.get(node, ()):
            waiting[target] -= 1
            if not waiting[target]:
                free.append(target)
    if len(order) < len(waiting.keys() | following.keys()):
        raise RuntimeError("a loop without a register")
    return order


def _deepest(paths):
    return max(paths, key=lambda path: path.levels, default=None)


def _spread(order, following, reached, join):
    """Deepest path to every node behind those ``reached``; ``join(path, arc, node)`` makes it longer by an arc."""
    reached = dict(reached)
    for node in order:
        if node in reached:
            for target, arc in following.get(node, ()):
                known = reached.get(target)
                if known is None or reached[node].levels + arc.levels > known.levels:
                    reached[target] = join(reached[node], arc, node)
    return reached


def summary(netlist, summaries):
    """The :class:`Summary` of a module, from those of what it holds.

    Parameters
    ----------
    netlist : dict
        The module as Yosys' ``write_json`` writes it, mapped to cells of UltraScale+.
    summaries : dict
        Of the modules that it holds, by name.

    Raises
    ------
    RuntimeError
        It holds a cell that is not known here.
    """
    graph = _graph(netlist, summaries)
    following, before = defaultdict(list), defaultdict(list)
    for source, target, arc in graph.edges:
        following[source].append((target, arc))
        before[target].append((source, arc))
    order = _ordered(following)

    ports = set(graph.inputs.values())

    def at(node):
        return Path(through=(graph.names[node],) if graph.names.get(node) and node not in ports else ())

    def forward(path, arc, node):
        return path.then(at(node)).then(arc)

    def backward(path, arc, node):
        return arc.then(at(node)).then(path)

    starts = {bit: _deepest(paths) for bit, paths in graph.starts.items()}
    ends = {bit: _deepest(paths) for bit, paths in graph.ends.items()}
    arrivals = _spread(order, following, starts, forward)
    departures = _spread(reversed(order), before, ends, backward)
    arcs = _through(graph, order, following, before, forward)
    found = Summary({pin: arrivals[bit] for pin, bit in graph.outputs.items() if bit in arrivals},
                    {pin: departures[bit] for pin, bit in graph.inputs.items() if bit in departures}, arcs, Path())
    return Summary(found.starts, found.ends, arcs, _worst(found, arrivals, ends, at))


def _through(graph, order, following, before, join):
    """Deepest path from each input bit to each output bit that it leads to."""
    useful = set(graph.outputs.values())
    waiting = list(useful)
    while waiting:
        for source, _ in before.get(waiting.pop(), ()):
            if source not in useful:
                useful.add(source)
                waiting.append(source)
    arcs = {}
    for pin, bit in graph.inputs.items():
        if bit in useful:
            cone, waiting = {bit}, [bit]
            while waiting:
                new = {target for target, _ in following.get(waiting.pop(), ()) if target in useful} - cone
                cone |= new
                waiting += new
            reached = _spread(sorted(cone, key=lambda node: order.get(node, 0)), following, {bit: FREE}, join)
            arcs |= {(pin, out): reached[node] for out, node in graph.outputs.items() if node in cone}
    return arcs


def _worst(found, arrivals, ends, at):
    """The deepest of all paths that are not within an instance, those of the ports included."""
    def port(pin):
        return f"port {pin[0]}[{pin[1]}]"

    whole = (arrivals[bit].then(at(bit)).then(path) for bit, path in ends.items() if bit in arrivals)
    taken = (path._replace(start=port(pin)) for pin, path in found.ends.items())
    given = (path._replace(end=port(pin)) for pin, path in found.starts.items())
    crossing = (path._replace(start=port(a), end=port(b)) for (a, b), path in found.arcs.items())
    worst = _deepest([*whole, *taken, *given, *crossing]) or Path()
    return worst._replace(through=tuple(name for name in worst.through if name not in (worst.start, worst.end)))
