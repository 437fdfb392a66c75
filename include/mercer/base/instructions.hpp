#pragma once

#include <string>

namespace mercer {

/// The instruction sets that Mercer's inner loops are compiled for, narrowest first: baseline is
/// what every processor of the architecture has (SSE2 on x86-64), avx2 is AVX2 with FMA, avx512 is
/// AVX-512 F, DQ, VL, BW and CD.
enum class Instructions { baseline, avx2, avx512 };

/// "baseline", "avx2", "avx512".
std::string name(Instructions set);
/// Inverse of name(). Throws InputError.
Instructions parse_instructions(const std::string& text);

/// The widest of these sets that this processor supports. Local.
Instructions widest_instructions();
/// The set that the loops use: the widest one, or the limit of hold_instructions() where that is
/// narrower. The first call fixes it for the whole process. Local, thread-safe.
Instructions instructions();

/// Of loops that are compiled once per set, the version of instructions(). Local.
template <class Loops>
const Loops& version_of(const Loops& avx512, const Loops& avx2, const Loops& baseline) {
  switch (instructions()) {
    case Instructions::avx512:
      return avx512;
    case Instructions::avx2:
      return avx2;
    default:
      return baseline;
  }
}

/// Limits instructions() to `most`: for tests, which repeat on one processor what a lesser one
/// computes. To be called in main before the first computation: throws RunError once
/// instructions() has been called. Never called by the library or the drivers. Local.
void hold_instructions(Instructions most);

}  // namespace mercer
