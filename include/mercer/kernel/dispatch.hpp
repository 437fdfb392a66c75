#pragma once

#include <string>

namespace mercer::kernel {

/// The instruction set of the tile loops that this process runs: "baseline", "avx2" or "avx512",
/// chosen by the processor when they are first used. Local.
std::string instruction_set();

}  // namespace mercer::kernel
