// Memory with one write port and one synchronous read port. STYLE: "block" or "distributed".
// The same word is never read and written in the same clock.
module ram #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter STYLE = "block"
) (
  input  wire                     clk,
  input  wire                     write_en,
  input  wire [$clog2(DEPTH)-1:0] write_addr,
  input  wire [WIDTH-1:0]         write_data,
  input  wire                     read_en,
  input  wire [$clog2(DEPTH)-1:0] read_addr,
  output reg  [WIDTH-1:0]         read_data
);
  (* ram_style = STYLE *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  always @(posedge clk) begin
    if (write_en) mem[write_addr] <= write_data;
    if (read_en) read_data <= mem[read_addr];
  end
endmodule
