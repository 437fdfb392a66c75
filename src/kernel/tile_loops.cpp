#include "tile_loops.hpp"

#include "mercer/kernel/dispatch.hpp"

namespace mercer::kernel {

namespace baseline {
extern const TileLoops loops;
}
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const TileLoops loops;
}
namespace avx512 {
extern const TileLoops loops;
}
#endif

const TileLoops& tile_loops() {
  static const TileLoops& chosen = []() -> const TileLoops& {
#ifdef MERCER_LOOPS_X86
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd"))
      return avx512::loops;
    if (has_avx2) return avx2::loops;
#endif
    return baseline::loops;
  }();
  return chosen;
}

std::string instruction_set() {
  return tile_loops().name;
}

}  // namespace mercer::kernel
