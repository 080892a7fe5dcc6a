// AMD's CARRY8, for simulation: bit k carries CO = S ? CI : DI on, and gives O = S ^ CI. Synthesis knows it.
module CARRY8 #(
  parameter CARRY_TYPE = "SINGLE_CY8"
) (
  input  wire       CI, CI_TOP,
  input  wire [7:0] S, DI,
  output wire [7:0] O, CO
);
  // Where S is 0, DI is carried out of the addition of DI and DI; where S is 1, what comes in is.
  wire [7:0] both = ~S & DI;
  wire [4:0] low = {1'b0, S[3:0] | both[3:0]} + {1'b0, both[3:0]} + {4'b0, CI};
  wire       middle = CARRY_TYPE == "DUAL_CY4" ? CI_TOP : low[4];
  wire [4:0] high = {1'b0, S[7:4] | both[7:4]} + {1'b0, both[7:4]} + {4'b0, middle};
  assign O = {high[3:0], low[3:0]};
  assign CO = {high[4], high[3:1] ^ S[7:5], low[4], low[3:1] ^ S[3:1]};
endmodule
