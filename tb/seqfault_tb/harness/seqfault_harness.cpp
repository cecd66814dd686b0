// The host side of `seqfault run`: memory behind the AXI manager, requesters, register accesses and the event log, called once a cycle.
//
// Everything that happens in every cycle is here, so that Python is woken only when something happened. Python reaches the functions at
// the end through ctypes (the simulator exports them) and the memory through a shared mapping.
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <queue>
#include <vector>

#include "harness_layout.h"  // word offsets of the two vectors, written by seqfault_tb/harness_top.py

namespace {

constexpr int kLogWords = 12;
enum LogKind : uint64_t { kEvent = 0, kRequest = 1, kAnswer = 2, kResponse = 3 };
enum WakeReason : uint32_t { kAnswered = 1, kPointer = 2, kDeadline = 4, kHang = 8, kRegister = 16, kLogFull = 32 };
constexpr uint32_t kExOkay = 1, kSlvErr = 2;
constexpr size_t kLogLimit = 1 << 15;

struct Read { uint64_t due, address; uint32_t id, beats, lock; };
struct Write { uint64_t address; uint32_t id, beats, lock; };
struct Word { uint64_t data; uint32_t strobes; };
struct Reservation { uint64_t address, data; };  // of an exclusive read; a write of the same word by others shows in its data
struct Response { uint64_t due; uint32_t id, resp; };
struct Request { uint64_t va; uint32_t space, access, flags, tag; };
struct RegisterAccess { bool write; uint32_t address, data; };

struct Host {
  uint64_t cycle = 0;
  uint64_t* memory = nullptr;
  uint64_t memory_bytes = 0;
  uint64_t latency = 50;
  uint64_t watchdog = 200000;
  uint64_t deadline = ~0ull;
  uint64_t last_progress = 0;
  uint32_t pending_wake = 0;
  bool engine_has_work = false;
  uint32_t plant = 0;  // number of the planted bug, in an engine that has them

  // of every handshake, the percentage of cycles in which our side is not ready; of each client's reads, how many of 65536 words fail
  uint32_t pressure = 0;
  uint32_t failing_readers = 0, failures = 0;  // clients, a bit each
  uint64_t random = 1;
  uint64_t failed = 0;  // words so far

  std::deque<Read> reads;
  uint32_t beat = 0;
  std::deque<Write> addresses;
  std::deque<Word> data;
  uint32_t write_beat = 0, write_response = 0;  // of the oldest write: words done, and the worst of their responses
  std::map<uint32_t, Reservation> reserved;  // by ID
  std::deque<Response> responses;
  std::deque<Request> requests[kPorts];
  std::vector<uint64_t> issued[kPorts];
  uint64_t outstanding = 0;
  std::deque<RegisterAccess> registers;
  bool address_sent = false, data_sent = false;
  uint32_t register_value = 0;
  uint64_t registers_done = 0;
  uint32_t pointers[kPointers] = {};
  uint32_t was[kFromHostWords] = {};  // what the engine saw in the ending cycle
  std::vector<uint64_t> log;

  void record(LogKind kind, std::initializer_list<uint64_t> values) {
    log.push_back(kind);
    log.push_back(cycle);
    log.insert(log.end(), values);
    log.resize((log.size() + kLogWords - 1) / kLogWords * kLogWords);
    last_progress = cycle;
    if (log.size() >= kLogLimit * kLogWords) pending_wake |= kLogFull;
  }
};

Host host;

uint64_t word64(const uint32_t* vector, int offset) { return vector[offset] | uint64_t(vector[offset + 1]) << 32; }
void put64(uint32_t* vector, int offset, uint64_t value) {
  vector[offset] = uint32_t(value);
  vector[offset + 1] = uint32_t(value >> 32);
}
uint64_t random_number() {  // xorshift64
  host.random ^= host.random << 13;
  host.random ^= host.random >> 7;
  return host.random ^= host.random << 17;
}
bool stalls() { return host.pressure && (random_number() >> 20) % 100 < host.pressure; }
bool fails(uint32_t id) {
  if (!(host.failing_readers >> (id >> kTagBits) & 1) || (random_number() >> 20) % 65536 >= host.failures) return false;
  host.failed++;
  return true;
}
bool backed(uint64_t address) { return address + 8 <= host.memory_bytes; }

// A read accepted in cycle n has its first beat in cycle n + latency; bursts follow one another, a beat a cycle.
void serve_reads(const uint32_t* in, uint32_t* out, bool r_taken) {
  if (in[T_ARVALID] && host.was[F_ARREADY]) {
    host.reads.push_back({host.cycle + host.latency, word64(in, T_ARADDR), in[T_ARID], in[T_ARLEN] + 1, in[T_ARLOCK]});
  }
  if (r_taken && !host.reads.empty()) {
    if (++host.beat == host.reads.front().beats) {
      host.reads.pop_front();
      host.beat = 0;
    }
  }
  out[F_RVALID] = 0;
  const bool offered = host.was[F_RVALID] && !r_taken;  // VALID stays until READY, and the word as it is [AXI A3.2.1]
  if (offered) {
    for (int word : {F_RVALID, F_RID, F_RLAST, F_RRESP, F_RDATA, F_RDATA + 1}) out[word] = host.was[word];
  } else if (!host.reads.empty() && host.reads.front().due <= host.cycle + 1 && !stalls()) {
    const Read& read = host.reads.front();
    const uint64_t address = read.address + 8ull * host.beat;
    out[F_RVALID] = 1;
    out[F_RID] = read.id;
    out[F_RLAST] = host.beat + 1 == read.beats;
    const uint64_t word = backed(address) ? host.memory[address / 8] : 0;
    const bool failed = !backed(address) || fails(read.id);
    out[F_RRESP] = failed ? kSlvErr : read.lock ? kExOkay : 0;
    put64(out, F_RDATA, failed ? ~word : word);
    if (read.lock) host.reserved[read.id] = {address, word};
  }
  out[F_ARREADY] = host.reads.size() < 256 && !stalls();
}

// Response to a word of a write; an exclusive one, of one word, is done only if the word is as its exclusive read found it.
uint32_t store(const Write& write, uint64_t address, const Word& word) {
  if (!backed(address)) return kSlvErr;
  uint64_t& target = host.memory[address / 8];
  if (write.lock) {
    const auto found = host.reserved.find(write.id);
    const bool kept = found != host.reserved.end() && found->second.address == write.address && found->second.data == target;
    if (found != host.reserved.end()) host.reserved.erase(found);
    if (!kept) return 0;
  }
  uint64_t mask = 0;
  for (int byte = 0; byte < 8; byte++) mask |= (word.strobes >> byte & 1) * (0xFFull << 8 * byte);
  target = (target & ~mask) | (word.data & mask);
  return write.lock ? kExOkay : 0;
}

void serve_writes(const uint32_t* in, uint32_t* out, bool b_taken) {
  if (in[T_AWVALID] && host.was[F_AWREADY]) {
    host.addresses.push_back({word64(in, T_AWADDR), in[T_AWID], in[T_AWLEN] + 1, in[T_AWLOCK]});
  }
  if (in[T_WVALID] && host.was[F_WREADY]) host.data.push_back({word64(in, T_WDATA), in[T_WSTRB]});
  while (!host.addresses.empty() && !host.data.empty()) {
    const Write& write = host.addresses.front();
    const uint32_t response = store(write, write.address + 8ull * host.write_beat, host.data.front());
    host.write_response = std::max(host.write_response, response);  // an error is the greatest
    host.data.pop_front();
    if (++host.write_beat == write.beats) {
      host.responses.push_back({host.cycle + host.latency, write.id, host.write_response});
      host.addresses.pop_front();
      host.write_beat = host.write_response = 0;
    }
  }
  if (b_taken && !host.responses.empty()) host.responses.pop_front();
  out[F_BVALID] = 0;
  const bool offered = host.was[F_BVALID] && !b_taken;
  if (!host.responses.empty() && (offered || (host.responses.front().due <= host.cycle + 1 && !stalls()))) {
    out[F_BVALID] = 1;
    out[F_BID] = host.responses.front().id;
    out[F_BRESP] = host.responses.front().resp;
  }
  out[F_AWREADY] = host.responses.size() < 256 && host.addresses.size() < 256 && !stalls();
  out[F_WREADY] = host.data.size() < 256 && !stalls();
}

void serve_ports(const uint32_t* in, uint32_t* out) {
  for (int port = 0; port < kPorts; port++) {
    auto& queue = host.requests[port];
    const uint32_t* answer = in + T_ANSWER + port * T_ANSWER_STRIDE;
    uint32_t* request = out + F_REQUEST + port * F_REQUEST_STRIDE;
    const bool offered = host.was[F_REQUEST + port * F_REQUEST_STRIDE + R_VALID] && !in[T_REQREADY + port];
    if (host.was[F_REQUEST + port * F_REQUEST_STRIDE + R_VALID] && in[T_REQREADY + port]) {
      const Request& taken = queue.front();
      host.issued[port][taken.tag] = host.cycle;
      host.record(kRequest, {uint64_t(port), taken.tag, taken.va, taken.space, taken.access, taken.flags});
      queue.pop_front();
    }
    if (answer[A_VALID] && host.was[F_ANSWER_READY + port]) {
      const uint32_t tag = answer[A_TAG];
      host.record(kAnswer, {uint64_t(port), tag, answer[A_STATUS], answer[A_HOW], answer[A_REASON], word64(answer, A_PA),
                            host.issued[port][tag]});
      host.outstanding--;
      host.pending_wake |= kAnswered;
    }
    out[F_ANSWER_READY + port] = !stalls();
    request[R_VALID] = !queue.empty() && (offered || !stalls());
    if (request[R_VALID]) {
      put64(request, R_VA, queue.front().va);
      request[R_SPACE] = queue.front().space;
      request[R_ACCESS] = queue.front().access;
      request[R_FLAGS] = queue.front().flags;
      request[R_TAG] = queue.front().tag;
    }
  }
}

// One AXI4-Lite access at a time.
void serve_registers(const uint32_t* in, uint32_t* out) {
  auto& queue = host.registers;
  if (!queue.empty()) {
    const bool write = queue.front().write;
    if (host.was[F_LITE_AWVALID] && in[T_LITE_AWREADY]) host.address_sent = true;
    if (host.was[F_LITE_ARVALID] && in[T_LITE_ARREADY]) host.address_sent = true;
    if (host.was[F_LITE_WVALID] && in[T_LITE_WREADY]) host.data_sent = true;
    if ((write && in[T_LITE_BVALID]) || (!write && in[T_LITE_RVALID])) {
      if (!write) {
        host.register_value = in[T_LITE_RDATA];
        host.pending_wake |= kRegister;
      }
      host.registers_done++;
      host.address_sent = host.data_sent = false;
      host.last_progress = host.cycle;
      queue.pop_front();
    }
  }
  out[F_LITE_AWVALID] = out[F_LITE_WVALID] = out[F_LITE_ARVALID] = 0;
  if (!queue.empty()) {
    const RegisterAccess& access = queue.front();
    out[F_LITE_AWADDR] = out[F_LITE_ARADDR] = access.address;
    out[F_LITE_WDATA] = access.data;
    out[F_LITE_AWVALID] = access.write && !host.address_sent;
    out[F_LITE_WVALID] = access.write && !host.data_sent;
    out[F_LITE_ARVALID] = !access.write && !host.address_sent;
  }
}

void watch_pointers(const uint32_t* in) {
  for (int index = 0; index < kPointers; index++) {
    const uint32_t value = in[T_POINTERS + index];
    if (value == host.pointers[index]) continue;
    host.pointers[index] = value;
    host.last_progress = host.cycle;
    host.pending_wake |= kPointer;
  }
}

void log_event(const uint32_t* in) {
  if (!in[T_EV_VALID]) return;
  host.record(kEvent, {in[T_EV_FIRST], in[T_EV_LAST], in[T_EV_AGENT], in[T_EV_OUTCOME], in[T_EV_SPACE], word64(in, T_EV_VPN),
                       in[T_EV_ID], in[T_EV_SEQ], word64(in, T_EV_ADDR), word64(in, T_EV_DATA)});
}

// A port's word: valid, tag of 9 bits, code of 4. The step that caused it is in the log before it.
void log_responses(const uint32_t* in) {
  for (int port = 0; port < kPorts; port++) {
    const uint32_t response = in[T_RESPONSE + port];
    if (response & 1) host.record(kResponse, {uint64_t(port), response >> 1 & 0x1ff, response >> 10 & 0xf});
  }
}

}  // namespace

extern "C" {

// Called at every rising edge with the engine's outputs of the ending cycle; fills its inputs of the next. Returns 1 to wake Python.
int seqfault_tick(const uint32_t* in, uint32_t* out) {
  std::memset(out, 0, sizeof host.was);
  log_event(in);
  log_responses(in);
  serve_reads(in, out, in[T_RREADY] && host.was[F_RVALID]);
  serve_writes(in, out, in[T_BREADY] && host.was[F_BVALID]);
  serve_ports(in, out);
  serve_registers(in, out);
  out[F_PLANT] = host.plant;
  watch_pointers(in);
  if (host.cycle >= host.deadline) {
    host.pending_wake |= kDeadline;
    host.deadline = ~0ull;
  }
  const bool waiting = host.outstanding || !host.registers.empty() || host.engine_has_work;
  if (waiting && host.cycle - host.last_progress > host.watchdog) {
    host.pending_wake |= kHang;
    host.last_progress = host.cycle;
  }
  host.cycle++;
  std::memcpy(host.was, out, sizeof host.was);
  return host.pending_wake != 0;
}

// Reserves the simulated memory (sparse, zero); returns its address, or null.
void* sf_attach(uint64_t bytes, uint64_t latency, uint64_t watchdog) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  host.memory = static_cast<uint64_t*>(memory);
  host.memory_bytes = bytes;
  host.latency = latency < 1 ? 1 : latency;
  host.watchdog = watchdog;
  for (auto& tags : host.issued) tags.assign(512, 0);
  return memory;
}
void sf_plant(uint32_t number) { host.plant = number; }
// Back-pressure on all handshakes but the registers', and read errors; `seed` is not 0.
void sf_disturb(uint32_t pressure, uint32_t readers, uint32_t failures, uint64_t seed) {
  host.pressure = pressure;
  host.failing_readers = readers;
  host.failures = failures;
  host.random = seed * 0x9E3779B97F4A7C15ull | 1;
}
uint64_t sf_failed() { return host.failed; }
uint64_t sf_cycle() { return host.cycle; }
void sf_submit(uint32_t port, uint32_t tag, uint64_t va, uint32_t space, uint32_t access, uint32_t flags) {
  host.requests[port].push_back({va, space, access, flags, tag});
  host.outstanding++;
  host.last_progress = host.cycle;
}
void sf_write_register(uint32_t address, uint32_t value) { host.registers.push_back({true, address, value}); }
void sf_read_register(uint32_t address) { host.registers.push_back({false, address, 0}); }
uint32_t sf_register_value() { return host.register_value; }
uint64_t sf_registers_waiting() { return host.registers.size(); }
uint64_t sf_outstanding() { return host.outstanding; }
void sf_set_deadline(uint64_t cycles, int engine_has_work) {
  host.deadline = cycles == ~0ull ? cycles : host.cycle + cycles;
  host.engine_has_work = engine_has_work;
  host.last_progress = host.cycle;
}
uint32_t sf_take_wake() {
  const uint32_t reasons = host.pending_wake;
  host.pending_wake = 0;
  return reasons;
}
void sf_pointers(uint32_t* values) { std::memcpy(values, host.pointers, sizeof host.pointers); }
uint64_t sf_log_size() { return host.log.size(); }
const uint64_t* sf_log_data() { return host.log.data(); }
void sf_log_clear() { host.log.clear(); }
}
