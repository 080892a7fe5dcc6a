// WIDTH full adders, a LUT6_2 each, that take in two XNORs: sum + 2 * carry = (x0 == w0) + (x1 == w1) + c.
module xnor_adders #(
  parameter WIDTH = 1
) (
  input  wire [WIDTH-1:0] x0, w0, x1, w1, c,
  output wire [WIDTH-1:0] sum, carry
);
`ifdef VERILATOR  // the same, proved equal, in whole words: many times faster
  wire [WIDTH-1:0] first = ~(x0 ^ w0), second = ~(x1 ^ w1);
  assign sum = first ^ second ^ c;
  assign carry = (first & second) | (c & (first ^ second));
`else
  genvar k;
  generate
    for (k = 0; k < WIDTH; k = k + 1) begin : adder
      LUT6_2 #(.INIT(64'h96696996f99f9009)) lut (
        .I0(x0[k]), .I1(w0[k]), .I2(x1[k]), .I3(w1[k]), .I4(c[k]), .I5(1'b1), .O6(sum[k]), .O5(carry[k]));
    end
  endgenerate
`endif
endmodule
