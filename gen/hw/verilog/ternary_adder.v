// sum = a + b + (clear ? 0 : c), a LUT6_2 a bit: the carries of a full adder are the second number of a carry chain.
// CARRY: bits of a carry block, 8 of UltraScale or 4 of the 7 series.
module ternary_adder #(
  parameter WIDTH = 1,
  parameter CARRY = 8
) (
  input  wire [WIDTH-1:0] a, b, c,
  input  wire             clear,
  output wire [WIDTH-1:0] sum
);
`ifdef VERILATOR  // the same, proved equal, in whole words: many times faster
  assign sum = a + b + (clear ? {WIDTH{1'b0}} : c);
`else
  localparam BLOCKS = (WIDTH + CARRY - 1) / CARRY, ALL = BLOCKS * CARRY;
  wire [ALL-1:0] s, o;
  wire [ALL:0]   majority;
  assign majority[0] = 1'b0;
  assign sum = o[WIDTH-1:0];

  genvar k;
  generate
    for (k = 0; k < WIDTH; k = k + 1) begin : adder
      LUT6_2 #(.INIT(64'h996669968888e8e8)) lut (
        .I0(a[k]), .I1(b[k]), .I2(c[k]), .I3(majority[k]), .I4(clear), .I5(1'b1), .O6(s[k]), .O5(majority[k+1]));
    end
    for (k = WIDTH; k < ALL; k = k + 1) begin : unused
      assign s[k] = 1'b0;
      assign majority[k+1] = 1'b0;
    end
    for (k = 0; k < BLOCKS; k = k + 1) begin : chain
      wire [CARRY-1:0] co;
      wire             ci;
      if (k == 0) begin : first
        assign ci = 1'b0;
      end else begin : next
        assign ci = chain[k-1].co[CARRY-1];
      end
      if (CARRY == 8) begin : wide
        CARRY8 #(.CARRY_TYPE("SINGLE_CY8")) carry (
          .CI(ci), .CI_TOP(1'b0), .S(s[8*k+:8]), .DI(majority[8*k+:8]), .O(o[8*k+:8]), .CO(co));
      end else begin : narrow
        CARRY4 carry (.CI(ci), .CYINIT(1'b0), .S(s[4*k+:4]), .DI(majority[4*k+:4]), .O(o[4*k+:4]), .CO(co));
      end
    end
  endgenerate
`endif
endmodule
