"""How often signals toggle: the SAIF files that Verilator writes."""

import re

__all__ = ["toggles"]


def toggles(path, top):
    """Toggles of each net of the module ``top`` itself: by name, those of vectors with an index, as ``sum[3]``."""
    text = path.read_text()
    (nets,) = re.findall(rf"^ \(INSTANCE {re.escape(top)}\n  \(NET\n(.*?)^  \)", text, re.MULTILINE | re.DOTALL)
    return {name.replace("\\", ""): int(count)
            for name, count in re.findall(r"^   \((\S+) .*\(TC (\d+)\)\)$", nets, re.MULTILINE)}
