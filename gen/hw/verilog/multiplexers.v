// result = choose ? b : a, two bits of it in a LUT6_2.
module multiplexers #(
  parameter WIDTH = 1
) (
  input  wire [WIDTH-1:0] a, b,
  input  wire             choose,
  output wire [WIDTH-1:0] result
);
`ifdef VERILATOR  // the same, proved equal, in whole words: many times faster
  assign result = choose ? b : a;
`else
  genvar k;
  generate
    for (k = 0; k + 1 < WIDTH; k = k + 2) begin : pair
      LUT6_2 #(.INIT(64'hff00f0f0ccccaaaa)) lut (
        .I0(a[k]), .I1(b[k]), .I2(a[k+1]), .I3(b[k+1]), .I4(choose), .I5(1'b1), .O6(result[k+1]), .O5(result[k]));
    end
    if (WIDTH % 2) begin : last
      assign result[WIDTH-1] = choose ? b[WIDTH-1] : a[WIDTH-1];
    end
  endgenerate
`endif
endmodule
