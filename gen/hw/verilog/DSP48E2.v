// What is used of AMD's DSP48E2, for simulation: P = Z +- (A * B + W) or Z +- ((A + D) * B + W), where Z is 0, PCIN, P
// or C, and W is 0, RND or C.
// Synthesis takes the primitive itself. Whatever is asked beyond this ends the simulation.
module DSP48E2 #(
  parameter AMULTSEL = "A",
  parameter BMULTSEL = "B",
  parameter A_INPUT = "DIRECT",
  parameter B_INPUT = "DIRECT",
  parameter PREADDINSEL = "A",
  parameter [47:0] RND = 48'h0,
  parameter USE_MULT = "MULTIPLY",
  parameter USE_SIMD = "ONE48",
  parameter AREG = 1,
  parameter ACASCREG = 1,
  parameter BREG = 1,
  parameter BCASCREG = 1,
  parameter DREG = 1,
  parameter ADREG = 1,
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
  reg signed [26:0] a = 0, d = 0, ad = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [44:0] m = 0;
  reg signed [47:0] c = 0, p = 0;
  reg [3:0] mode = 0;
  reg [8:0] latched = 0;

  wire [8:0] operands = OPMODEREG == 1 ? latched : OPMODE;
  wire signed [26:0] multiplied = AMULTSEL == "AD" ? ad : a;
  wire signed [47:0] z = operands[5] ? (operands[4] ? c : p) : (operands[4] ? PCIN : 48'd0);
  wire signed [47:0] w = operands[8] ? (operands[7] ? c : RND) : 48'd0;
  wire signed [47:0] rest = w + m;

  always @(posedge CLK) begin
    if (CEA2) a <= A[26:0];
    if (CEB1) b1 <= B;
    if (CEB2) b2 <= b1;
    if (CEC) c <= C;
    if (CED) d <= D;
    if (CEAD) ad <= d + a;
    if (CEM) m <= multiplied * b2;
    if (CECTRL) latched <= OPMODE;
    if (CEALUMODE) mode <= ALUMODE;
    if (CEP) p <= mode[0] ? z - rest : z + rest;
  end

  assign P = p;
  assign PCOUT = p;
`ifndef SYNTHESIS
  initial begin
    if (AMULTSEL != "A" && AMULTSEL != "AD") $fatal(1, "first operand");
    if (BMULTSEL != "B" || A_INPUT != "DIRECT" || B_INPUT != "DIRECT") $fatal(1, "operands");
    if (AMULTSEL == "AD" && (PREADDINSEL != "A" || DREG != 1 || ADREG != 1)) $fatal(1, "pre-adder");
    if (USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48") $fatal(1, "multiplier or adder");
    if (AREG != 1 || BREG != 2 || CREG != 1 || MREG != 1 || PREG != 1 || ALUMODEREG != 1) $fatal(1, "registers");
    if (OPMODEREG != 0 && OPMODEREG != 1) $fatal(1, "register of OPMODE");
    if (INMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0) $fatal(1, "control registers");
    if (ACASCREG != 1 || BCASCREG != 2) $fatal(1, "cascade registers, which are as many as the others");
  end

  // Without the instance's name, which $fatal would print: all blocks are then simulated by the same code.
  always @(posedge CLK)
    if (OPMODE[8:7] == 2'b01 || OPMODE[6] || OPMODE[3:0] != 4'b0101 || (mode != 4'b0000 && mode != 4'b0011)
        || INMODE != (AMULTSEL == "AD" ? 5'b00100 : 5'b00000) || CARRYINSEL != 0 || CARRYIN != 0
        || RSTA || RSTB || RSTC || RSTD || RSTM || RSTP || RSTALUMODE || RSTCTRL || RSTINMODE || RSTALLCARRYIN) begin
      $display("DSP48E2: OPMODE %b, ALUMODE %b, INMODE %b, or others that are not modelled", OPMODE, mode, INMODE);
      $finish;
    end
`endif
endmodule
