// Synchronous read-only memory with its contents in a hex file. STYLE: "block" or "distributed".
// Data come a clock after the address; a clock later where REGISTERED, from the output register that a block has.
module rom #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter STYLE = "block",
  parameter REGISTERED = 0,
  parameter INIT_FILE = ""
) (
  input  wire                     clk,
  input  wire                     en,
  input  wire [$clog2(DEPTH)-1:0] addr,
  output wire [WIDTH-1:0]         data
);
  // In capitals, which Vivado reads and Yosys does not: it has no LUT memory that is read only.
  (* ROM_STYLE = STYLE *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  initial $readmemh(INIT_FILE, mem);

  reg [WIDTH-1:0] word;
  always @(posedge clk) if (en) word <= mem[addr];

  generate
    if (REGISTERED) begin : registered
      reg [WIDTH-1:0] register;
      always @(posedge clk) if (en) register <= word;
      assign data = register;
    end else begin : direct
      assign data = word;
    end
  endgenerate
endmodule
