import pytest

import boards
from gen.errors import UserError


@pytest.mark.parametrize("name", boards.names())
def test_board_is_complete(name):
    board = boards.find(name)
    assert board.family == "ultrascaleplus"
    assert board.default_clk_frequency > 0 and board.fabric_clock > 0
    assert min(board.budget.lut, board.budget.ff, board.budget.bram, board.budget.dsp) > 0


def test_zcu102():
    board = boards.find("zcu102")
    assert boards.part(board) == "xczu9eg-ffvb1156-2-e"
    assert (board.budget.lut, board.budget.ff) == (274_080, 548_160)
    assert (board.budget.bram, board.budget.dsp, board.budget.uram) == (912, 2_520, 0)
    assert board.default_clk_frequency == 125e6
    assert board.request("clk300", dir="-") is not None


def test_unknown_board_lists_those_there_are():
    with pytest.raises(UserError, match=r"no board named 'zcu999'; there are: .*zcu102"):
        boards.find("zcu999")
