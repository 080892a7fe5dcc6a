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
  localparam PARTS = (DEPTH + 63) / 64;
  // In capitals, which Vivado reads and Yosys does not: it has no LUT memory that is read only.
  (* ROM_STYLE = STYLE *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  initial $readmemh(INIT_FILE, mem);

  generate
    if (REGISTERED && STYLE == "distributed" && DEPTH > 128) begin : parts  // of a LUT a bit each, then joined
      reg [WIDTH*PARTS-1:0] words;
      reg [$clog2(PARTS)-1:0] part;
      reg [WIDTH-1:0] register;
      integer k;
      always @(posedge clk) if (en) begin
        for (k = 0; k < PARTS; k = k + 1)
          words[WIDTH*k +: WIDTH] <= k * 64 + addr[5:0] < DEPTH ? mem[k * 64 + addr[5:0]] : mem[addr[5:0]];
        part <= addr[$clog2(DEPTH)-1:6];
        register <= words[WIDTH*part +: WIDTH];
      end
      assign data = register;
    end else begin : whole
      reg [WIDTH-1:0] word;
      always @(posedge clk) if (en) word <= mem[addr];

      if (REGISTERED) begin : registered
        reg [WIDTH-1:0] register;
        always @(posedge clk) if (en) register <= word;
        assign data = register;
      end else begin : direct
        assign data = word;
      end
    end
  endgenerate
endmodule
