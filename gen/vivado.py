"""Scripts that take the generated Verilog through Vivado, out of context."""

import re

__all__ = ["scripts"]

SYNTH = """\
# Out-of-context synthesis and implementation of {top} for {part}.
# Run here:  vivado -mode batch -source synth.tcl

set here [file dirname [file normalize [info script]]]
set rtl [file join $here .. rtl]
cd $here

set sources {{}}
foreach name {{{sources}}} {{ lappend sources [file join $rtl $name] }}
set memories {{}}
foreach name {{{memories}}} {{ lappend memories [file join $rtl $name] }}

create_project -in_memory -part {part}
read_verilog $sources
# $readmemh names files without a folder: Vivado looks for them among those it has read.
if {{[llength $memories]}} {{ read_mem $memories }}
read_xdc -mode out_of_context [file join $here clock.xdc]

synth_design -top {top} -part {part} -mode out_of_context -flatten_hierarchy rebuilt
write_checkpoint -force synth.dcp
report_utilization -hierarchical -file synth_utilization.rpt

opt_design
place_design
phys_opt_design
route_design
write_checkpoint -force routed.dcp
report_utilization -hierarchical -file routed_utilization.rpt
report_timing_summary -max_paths 10 -file routed_timing.rpt
# How often each signal toggles, if make sim SAIF=1 has found it out; the tool assumes what the file does not name.
set activity [file join $here .. sim verilator {top}.saif]
if {{[file exists $activity]}} {{ read_saif -strip_path {top} -out_file routed_unmatched.txt $activity }}
report_power -file routed_power.rpt

set slack [get_property SLACK [get_timing_paths -max_paths 1 -nworst 1 -setup]]
puts "{top}: worst setup slack $slack ns at {period:.3f} ns, reports in $here"
"""

CLOCK = """\
# {megahertz:g} MHz
create_clock -name ap_clk -period {period:.3f} [get_ports ap_clk]
"""


def _word(name):
    """``name`` as one Tcl word, inside a braced list or outside."""
    return re.sub(r"([^\w./-])", r"\\\1", name)


def scripts(top, files, part, clock_hz):
    """Texts of ``synth.tcl`` and ``clock.xdc``, by file name, for a folder beside ``rtl/``.

    Parameters
    ----------
    top : str
        Name of the top module.
    files : list of str
        Names of the files in ``rtl/``.
    part : str
        Vivado's name of the chip.
    clock_hz : float
        Frequency to constrain ``ap_clk`` to.
    """
    def listed(suffix):
        return " ".join(_word(name) for name in sorted(files) if name.endswith(suffix))

    period = 1e9 / clock_hz
    return {
        "synth.tcl": SYNTH.format(top=_word(top), part=part, period=period,
                                  sources=listed(".v"), memories=listed(".mem")),
        "clock.xdc": CLOCK.format(megahertz=clock_hz / 1e6, period=period),
    }
