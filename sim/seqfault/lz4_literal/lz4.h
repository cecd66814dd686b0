// The two functions of LZ4 that Verilator's FST writer calls, without compression: a block of literals only is a valid LZ4 block.
// Used where the system has no lz4.h, so that FST needs nothing but zlib. [LZ4 block format: token, literal length, literals]
#pragma once
#include <cstring>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
  if (capacity < LZ4_compressBound(size)) return 0;
  char* out = target;
  constexpr int kInToken = 15;
  if (size < kInToken) {
    *out++ = static_cast<char>(size << 4);
  } else {
    *out++ = static_cast<char>(kInToken << 4);
    int rest = size - kInToken;
    for (; rest >= 255; rest -= 255) *out++ = static_cast<char>(255);
    *out++ = static_cast<char>(rest);
  }
  std::memcpy(out, source, size);
  return static_cast<int>(out - target) + size;
}
