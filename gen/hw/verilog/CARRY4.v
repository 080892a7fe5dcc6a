// AMD's CARRY4, for simulation: bit k carries CO = S ? CI : DI on, and gives O = S ^ CI. Synthesis knows it.
module CARRY4 (
  input  wire       CI, CYINIT,
  input  wire [3:0] S, DI,
  output wire [3:0] O, CO
);
  // Where S is 0, DI is carried out of the addition of DI and DI; where S is 1, what comes in is.
  wire [3:0] both = ~S & DI;
  wire [4:0] total = {1'b0, S | both} + {1'b0, both} + {4'b0, CI | CYINIT};
  assign O = total[3:0];
  assign CO = {total[4], total[3:1] ^ S[3:1]};
endmodule
