// WIDTH counters of seven bits each, two LUT6_2 and two bits of a carry chain: one + 2 * two + 4 * four = a + ... + g.
// CARRY: bits of a carry block, 8 of UltraScale, which then serves two counters, or 4 of the 7 series.
module counters #(
  parameter WIDTH = 1,
  parameter CARRY = 8
) (
  input  wire [WIDTH-1:0] a, b, c, d, e, f, g,
  output wire [WIDTH-1:0] one, two, four
);
`ifdef VERILATOR  // the same, proved equal, in whole words: many times faster
  wire [WIDTH-1:0] abc = a ^ b ^ c, de = d ^ e ^ f;
  wire [WIDTH-1:0] abc_carry = (a & b) | (c & (a ^ b)), de_carry = (d & e) | (f & (d ^ e));
  wire [WIDTH-1:0] carry = (abc & de) | (g & (abc ^ de));
  assign one = abc ^ de ^ g;
  assign two = abc_carry ^ de_carry ^ carry;
  assign four = (abc_carry & de_carry) | (carry & (abc_carry ^ de_carry));
`else
  localparam PAIRS = (WIDTH + 1) / 2;
  wire [2*PAIRS-1:0] odd, even, middle, upper, ones, twos, fours;
  wire [2*PAIRS-1:0] start = {{2*PAIRS-WIDTH{1'b0}}, g};
  assign one = ones[WIDTH-1:0];
  assign two = twos[WIDTH-1:0];
  assign four = fours[WIDTH-1:0];

  genvar k;
  generate
    for (k = 0; k < WIDTH; k = k + 1) begin : counter
      // Of a to f: whether their number is odd; if not, f is what is carried beside half of a to e.
      LUT6_2 #(.INIT(64'h6996966996696996)) low (
        .I0(a[k]), .I1(b[k]), .I2(c[k]), .I3(d[k]), .I4(e[k]), .I5(f[k]), .O6(odd[k]), .O5(even[k]));
      // Of a to e: whether they are two or three, and whether they are four or five.
      LUT6_2 #(.INIT(64'h177e7ee8e8808000)) high (
        .I0(a[k]), .I1(b[k]), .I2(c[k]), .I3(d[k]), .I4(e[k]), .I5(1'b1), .O6(middle[k]), .O5(upper[k]));
    end
    if (2 * PAIRS > WIDTH) begin : unpaired
      assign {odd[WIDTH], even[WIDTH], middle[WIDTH], upper[WIDTH]} = 4'b0;
    end
    for (k = 0; k < 2 * PAIRS; k = k + 2) begin : chain
      wire [7:0] s = {2'b0, middle[k+1], odd[k+1], 2'b0, middle[k], odd[k]};
      wire [7:0] di = {2'b0, upper[k+1], even[k+1], 2'b0, upper[k], even[k]};
      wire [7:0] o, co;
      if (CARRY == 8) begin : wide
        CARRY8 #(.CARRY_TYPE("DUAL_CY4")) carry (
          .CI(start[k]), .CI_TOP(start[k+1]), .S(s), .DI(di), .O(o), .CO(co));
      end else begin : narrow
        CARRY4 carry0 (.CI(1'b0), .CYINIT(start[k]), .S(s[3:0]), .DI(di[3:0]), .O(o[3:0]), .CO(co[3:0]));
        CARRY4 carry1 (.CI(1'b0), .CYINIT(start[k+1]), .S(s[7:4]), .DI(di[7:4]), .O(o[7:4]), .CO(co[7:4]));
      end
      assign {ones[k+1], ones[k]} = {o[4], o[0]};
      assign {twos[k+1], twos[k]} = {o[5], o[1]};
      assign {fours[k+1], fours[k]} = {co[5], co[1]};
    end
  endgenerate
`endif
endmodule
