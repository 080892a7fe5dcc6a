"""The SVPE array: layers run one after another from DDR memory (Chen et al. 2020)."""
