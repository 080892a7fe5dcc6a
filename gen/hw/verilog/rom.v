// Synchronous read-only memory with its contents in a hex file. STYLE: "block" or "distributed".
module rom #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter STYLE = "block",
  parameter INIT_FILE = ""
) (
  input  wire                     clk,
  input  wire                     en,
  input  wire [$clog2(DEPTH)-1:0] addr,
  output reg  [WIDTH-1:0]         data
);
  // In capitals, which Vivado reads and Yosys does not: it has no LUT memory that is read only.
  (* ROM_STYLE = STYLE *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  initial $readmemh(INIT_FILE, mem);
  always @(posedge clk) if (en) data <= mem[addr];
endmodule
