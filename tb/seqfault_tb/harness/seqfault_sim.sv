// Simulation top of `seqfault run`: the engine, a clock, and one call a cycle to the C++ host. Names here are what waveforms show.
module seqfault_sim;
  import "DPI-C" function int seqfault_tick(input bit [`TO_HOST_BITS-1:0] to_host, output bit [`FROM_HOST_BITS-1:0] from_host);

  `include "harness_enums.svh"

  bit clk = 0;
  bit rst = 1;
  bit [2:0] reset_cycles = 4;
  // cycles since reset, as the C++ host and all reports count them
  bit [63:0] cycle = 0;
  // toggles when Python is to look
  bit wake /*verilator public_flat_rd*/ = 0;

  /*verilator tracing_off*/  // the same signals are in the engine by name
  bit [`TO_HOST_BITS-1:0] to_host;
  bit [`FROM_HOST_BITS-1:0] from_host = 0;
  bit [`FROM_HOST_BITS-1:0] following;
  /*verilator tracing_on*/

  wire ev_valid;
  wire [5:0] ev_first_code, ev_last_code;
  wire [5:0] ev_agent;
  wire [4:0] ev_outcome_code;
  wire [15:0] ev_space, ev_id;
  wire [47:0] ev_vpn;
  wire [31:0] ev_seq;
  wire [63:0] ev_addr, ev_data;
  step_t ev_first, ev_last;
  outcome_t ev_outcome;
  assign ev_first = step_t'(ev_first_code);
  assign ev_last = step_t'(ev_last_code);
  assign ev_outcome = outcome_t'(ev_outcome_code);

  harness_top top (
    .clk(clk), .rst(rst), .to_host(to_host), .from_host(from_host),
    .ev_valid(ev_valid), .ev_first(ev_first_code), .ev_last(ev_last_code), .ev_agent(ev_agent), .ev_outcome(ev_outcome_code),
    .ev_space(ev_space), .ev_vpn(ev_vpn), .ev_id(ev_id), .ev_seq(ev_seq), .ev_addr(ev_addr), .ev_data(ev_data)
  );

  always #5 clk = ~clk;

  always @(posedge clk) begin
    if (reset_cycles == 0) rst <= 0;
    else reset_cycles <= reset_cycles - 1;
    if (!rst) begin
      cycle <= cycle + 1;
      if (seqfault_tick(to_host, following) != 0) wake <= ~wake;
      from_host <= following;
    end
  end
endmodule
