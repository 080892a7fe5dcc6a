// Memory with one write port and one asynchronous read port: LUT RAM.
module queue #(
  parameter WIDTH = 1,
  parameter DEPTH = 2
) (
  input  wire                     clk,
  input  wire                     write_en,
  input  wire [$clog2(DEPTH)-1:0] write_addr,
  input  wire [WIDTH-1:0]         write_data,
  input  wire [$clog2(DEPTH)-1:0] read_addr,
  output wire [WIDTH-1:0]         read_data
);
  (* ram_style = "distributed" *) reg [WIDTH-1:0] mem [0:DEPTH-1];
  always @(posedge clk) if (write_en) mem[write_addr] <= write_data;
  assign read_data = mem[read_addr];
endmodule
