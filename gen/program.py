"""An integer program: one option a stage, with what lies between neighbours, so that it costs least."""

from dataclasses import dataclass

import highspy
import numpy as np

__all__ = ["Program"]

PRICES = 1, 50, 0  # of a LUT, half a block memory and a DSP, in LUTs: memory that would lie idle is cheap, not free
THREADS = 1  # results then depend on nothing but the program


@dataclass
class Program:
    """Columns, each of which takes part of what is limited, and sums of them that must be 0 or 1.

    Parameters
    ----------
    limits : tuple of float
        How many LUTs, half block memories and DSPs there are.
    """

    limits: tuple

    def __post_init__(self):
        self.columns, self.whole, self.uses, self.entries, self.rows = 0, [], [], [], []

    def add(self, uses, whole):
        """Columns that take ``uses`` of the resources, an array of shape (columns, resources); returns their numbers.

        ``whole``: they have to be 0 or 1; they are from 0 to 1 if not.
        """
        first, self.columns = self.columns, self.columns + len(uses)
        self.uses.append(uses)
        self.whole.append(np.full(len(uses), whole))
        return np.arange(first, self.columns)

    def equate(self, total, columns, signs, rows):
        """Rows 0, 1, ..., in each of which ``signs`` times the ``columns`` with that number are ``total``."""
        self.entries.append((columns, len(self.rows) + rows, signs))
        self.rows += [total] * (int(rows.max()) + 1)

    def solve(self):
        """Which columns are 1, a boolean array: those that cost least; or None if there are none."""
        uses, count = np.concatenate(self.uses), len(self.rows)
        limited = [(np.flatnonzero(amounts), count + k, amounts[amounts != 0]) for k, amounts in enumerate(uses.T)]
        columns, rows, values = (np.concatenate([np.broadcast_to(entry[part], len(entry[0])) for entry in
                                                 self.entries + limited]) for part in range(3))
        order = np.lexsort((rows, columns))
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self.columns, count + len(limited)
        model.col_cost_ = uses @ PRICES
        model.col_lower_, model.col_upper_ = np.zeros(self.columns), np.ones(self.columns)
        model.row_lower_ = np.array([*self.rows, *[-highspy.kHighsInf] * len(limited)])
        model.row_upper_ = np.array([*self.rows, *self.limits], float)
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.searchsorted(columns[order], np.arange(self.columns + 1))
        model.a_matrix_.index_, model.a_matrix_.value_ = rows[order], values[order].astype(float)
        model.integrality_ = [highspy.HighsVarType.kInteger if whole else highspy.HighsVarType.kContinuous
                              for whole in np.concatenate(self.whole)]
        solver = highspy.Highs()
        solver.silent()
        for option, value in (("threads", THREADS), ("presolve", "off"), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.5)):
            solver.setOptionValue(option, value)
        solver.passModel(model)
        solver.run()
        if solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            return None
        return np.array(solver.getSolution().col_value) > 0.5
