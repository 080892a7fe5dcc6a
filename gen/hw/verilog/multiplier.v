// Product of two signed numbers, a clock later. STYLE: "yes", in a DSP block; "no", in LUTs.
module multiplier #(
  parameter A_WIDTH = 2,
  parameter B_WIDTH = 2,
  parameter WIDTH = 4,
  parameter STYLE = "yes"
) (
  input  wire                      clk,
  input  wire signed [A_WIDTH-1:0] a,
  input  wire signed [B_WIDTH-1:0] b,
  output wire signed [WIDTH-1:0]   product
);
  (* use_dsp = STYLE *) reg signed [WIDTH-1:0] register;
  always @(posedge clk) register <= a * b;
  assign product = register;
endmodule
