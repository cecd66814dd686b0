// cocotb's main program, but the waveform begins at the time SEQFAULT_WAVES_FROM (in units of the time precision; 0 if it is not set). Of a long
// run only what came just before a failure is wanted; all of it fills a disk.
#include <cstdint>
#include <cstdlib>

#if defined(VM_TRACE_FST) && VM_TRACE_FST
#include <verilated_fst_c.h>
using WholeWaveform = VerilatedFstC;
#define VerilatedFstC Waveform
#else
#include <verilated_vcd_c.h>
using WholeWaveform = VerilatedVcdC;
#define VerilatedVcdC Waveform
#endif

struct Waveform : WholeWaveform {
  void dump(uint64_t time) {
    if (time >= from) WholeWaveform::dump(time);
  }

 private:
  static uint64_t begin() {
    const char* text = std::getenv("SEQFAULT_WAVES_FROM");
    return text ? std::strtoull(text, nullptr, 10) : 0;
  }
  const uint64_t from = begin();
};

#include <verilator.cpp>
