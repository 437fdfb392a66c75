#pragma once

#include <string>

namespace mercer {

/// The instruction sets that Mercer's inner loops are compiled for, from the least on: baseline is
/// what every processor of the architecture has (SSE2 on x86-64), avx2 is AVX2 with FMA, avx512 is
/// AVX-512 F, DQ, VL, BW and CD.
enum class Instructions { baseline, avx2, avx512 };

/// "baseline", "avx2", "avx512".
std::string name(Instructions set);
/// Inverse of name(). Throws InputError.
Instructions parse_instructions(const std::string& text);

/// The widest set that this processor runs, of those that the loops are compiled for.
Instructions widest_instructions();
/// The one that the loops take: the widest, or what hold_instructions() has said. Chosen once, at
/// the first call, for the whole process. Local, thread-safe.
Instructions instructions();

/// No set wider than `most` is taken: for tests, which try on one processor what another one
/// computes. Of use only in main, before the first computation: throws RunError where
/// instructions() has been called. Never called by the library or the drivers. Local.
void hold_instructions(Instructions most);

}  // namespace mercer
