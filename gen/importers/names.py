"""Names of layers: those of the model where a person chose them, else numbered; always safe in Verilog."""

import re

__all__ = ["Names"]

_KEYWORDS = frozenset(
    """accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before
    begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class
    clocking cmos config const constraint context continue cover covergroup coverpoint cross deassign
    default defparam design disable dist do edge else end endcase endchecker endclass endclocking endconfig
    endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram endproperty
    endsequence endspecify endtable endtask enum event eventually expect export extends extern final
    first_match for force foreach forever fork forkjoin function generate genvar global highz0 highz1 if iff
    ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input inside
    instance int integer interconnect interface intersect join join_any join_none large let liblist library
    local localparam logic longint macromodule matches medium modport module nand negedge nettype new
    nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge
    primitive priority program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect
    pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg reject_on release
    repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until
    s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve specify
    specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on
    sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri
    tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until until_with untyped use
    uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with within
    wor xnor xor""".split()
)
# What exporters make up: onnx::Conv_12, features.3.weight, Conv_7, node_conv2d_1.
_GENERATED = (
    "onnx|val_|const|tensor|node|param|t?mp|layers?_|features?_|model_|module|(global|max|average|reduce)"
    r"|(conv|conv2d|gemm|matmul|linear)(_\d+)?$"
)
_READABLE = re.compile(rf"(?!{_GENERATED})[a-z][a-z0-9_]{{2,31}}")
_ROLE = re.compile(r"[._/](weights?|w|kernel|weight_quant.*)$", re.IGNORECASE)
_OPERATOR = re.compile(r"[._/](conv|gemm|matmul|\w*pool|reducemean)(_\d+)?$", re.IGNORECASE)


class Names:
    """Hands out names, each once."""

    def __init__(self):
        self._taken = set()
        self._counts = {}

    def numbered(self, kind):
        """``kind`` with the next free number."""
        while True:
            number = self._counts.get(kind, 0)
            self._counts[kind] = number + 1
            if f"{kind}{number}" not in self._taken:
                return self._take(f"{kind}{number}")

    def readable(self, kind, node, weights=""):
        """Name of the weights' layer (``conv2_1.weight``), else of the node, else a number of its kind."""
        role = _ROLE.search(weights)
        for source in (weights[: role.start()] if role else "", _OPERATOR.sub("", node)):
            name = re.sub(r"\W+", "_", source.lower()).strip("_")
            if _READABLE.fullmatch(name):
                return self._free(name, kind)
        return self.numbered(kind)

    def after(self, layer, kind):
        """``kind`` of the layer before: ``conv2_1_threshold``."""
        return self._free(f"{layer.name}_{kind}", kind)

    def _free(self, name, kind):
        return self.numbered(kind) if name in self._taken or name in _KEYWORDS else self._take(name)

    def _take(self, name):
        self._taken.add(name)
        return name
