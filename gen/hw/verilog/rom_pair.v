// Synchronous read-only memory with two read ports, both of each block RAM; its contents are in a hex file.
// Data come a clock after the address; those of the first port a clock later where REGISTERED, from the output register
// that a block has: what the other port reads is not complete without logic.
module rom_pair #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter REGISTERED = 0,
  parameter INIT_FILE = ""
) (
  input  wire                     clk,
  input  wire                     en,
  input  wire [$clog2(DEPTH)-1:0] addr,
  input  wire [$clog2(DEPTH)-1:0] other_addr,
  output wire [WIDTH-1:0]         data,
  output wire [WIDTH-1:0]         other_data
);
  (* ROM_STYLE = "block" *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  initial $readmemh(INIT_FILE, mem);

  reg [WIDTH-1:0] word, other_word;
  always @(posedge clk) if (en) word <= mem[addr];
  always @(posedge clk) if (en) other_word <= mem[other_addr];

  generate
    if (REGISTERED) begin : registered
      reg [WIDTH-1:0] register;
      always @(posedge clk) if (en) register <= word;
      assign data = register;
    end else begin : direct
      assign data = word;
    end
  endgenerate
  assign other_data = other_word;
endmodule
