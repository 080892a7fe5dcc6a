// What the array uses of AMD's DSP48E2, for simulation: P = PCIN +- (A * B + C), or the same without PCIN.
// Synthesis takes the primitive itself. Whatever is asked beyond this ends the simulation.
module DSP48E2 #(
  parameter AMULTSEL = "A",
  parameter BMULTSEL = "B",
  parameter A_INPUT = "DIRECT",
  parameter B_INPUT = "DIRECT",
  parameter USE_MULT = "MULTIPLY",
  parameter USE_SIMD = "ONE48",
  parameter AREG = 1,
  parameter ACASCREG = 1,
  parameter BREG = 1,
  parameter BCASCREG = 1,
  parameter CREG = 1,
  parameter MREG = 1,
  parameter PREG = 1,
  parameter ALUMODEREG = 1,
  parameter OPMODEREG = 1,
  parameter INMODEREG = 1,
  parameter CARRYINREG = 1,
  parameter CARRYINSELREG = 1
) (
  input  wire        CLK,
  input  wire [29:0] A,
  input  wire [17:0] B,
  input  wire [47:0] C,
  input  wire [26:0] D,
  input  wire [47:0] PCIN,
  input  wire [29:0] ACIN,
  input  wire [17:0] BCIN,
  input  wire        CARRYIN, CARRYCASCIN, MULTSIGNIN,
  input  wire [8:0]  OPMODE,
  input  wire [3:0]  ALUMODE,
  input  wire [4:0]  INMODE,
  input  wire [2:0]  CARRYINSEL,
  input  wire        CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM, CEP, CEALUMODE, CECTRL, CEINMODE, CECARRYIN,
  input  wire        RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTALUMODE, RSTCTRL, RSTINMODE, RSTALLCARRYIN,
  output wire [47:0] P,
  output wire [47:0] PCOUT
);
  reg signed [26:0] a = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [44:0] m = 0;
  reg signed [47:0] c = 0, p = 0;
  reg [3:0] mode = 0;

  wire signed [47:0] z = OPMODE[6:4] == 3'b001 ? PCIN : 48'd0;
  wire signed [47:0] rest = c + m;

  always @(posedge CLK) begin
    if (CEA2) a <= A[26:0];
    if (CEB1) b1 <= B;
    if (CEB2) b2 <= b1;
    if (CEC) c <= C;
    if (CEM) m <= a * b2;
    if (CEALUMODE) mode <= ALUMODE;
    if (CEP) p <= mode[0] ? z - rest : z + rest;
  end

  assign P = p;
  assign PCOUT = p;
`ifndef SYNTHESIS
  initial begin
    if (AMULTSEL != "A" || BMULTSEL != "B" || A_INPUT != "DIRECT" || B_INPUT != "DIRECT") $fatal(1, "operands");
    if (USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48") $fatal(1, "multiplier or adder");
    if (AREG != 1 || BREG != 2 || CREG != 1 || MREG != 1 || PREG != 1 || ALUMODEREG != 1) $fatal(1, "registers");
    if (OPMODEREG != 0 || INMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0) $fatal(1, "control registers");
    if (ACASCREG != 1 || BCASCREG != 2) $fatal(1, "cascade registers, which are as many as the others");
  end

  always @(posedge CLK) begin
    if (OPMODE[8:7] != 2'b11 || OPMODE[3:0] != 4'b0101 || OPMODE[6:4] > 3'b001) $fatal(1, "OPMODE %b", OPMODE);
    if (mode != 4'b0000 && mode != 4'b0011) $fatal(1, "ALUMODE %b", mode);
    if (INMODE != 0 || CARRYINSEL != 0 || CARRYIN != 0) $fatal(1, "INMODE, CARRYINSEL or CARRYIN");
    if (RSTA || RSTB || RSTC || RSTM || RSTP || RSTALUMODE || RSTCTRL || RSTINMODE) $fatal(1, "resets");
  end
`endif
endmodule
