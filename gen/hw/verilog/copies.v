// COPIES registers of the same WIDTH bits, the first in the low bits. Synthesis shall not make one of them: each has as
// much to drive as is good.
module copies #(
  parameter WIDTH = 1,
  parameter COPIES = 2
) (
  input  wire                    clk,
  input  wire [WIDTH-1:0]        value,
  output wire [COPIES*WIDTH-1:0] all
);
  (* keep = "true" *) reg [COPIES*WIDTH-1:0] register;
  always @(posedge clk) register <= {COPIES{value}};
  assign all = register;
endmodule
