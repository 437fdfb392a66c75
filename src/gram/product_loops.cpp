#include "product_loops.hpp"

namespace mercer::gram {

namespace baseline {
extern const ProductLoops loops;
}
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const ProductLoops loops;
}
namespace avx512 {
extern const ProductLoops loops;
}
#endif

const ProductLoops& product_loops() {
  static const ProductLoops& chosen = []() -> const ProductLoops& {
#ifdef MERCER_LOOPS_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd"))
      return avx512::loops;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::loops;
#endif
    return baseline::loops;
  }();
  return chosen;
}

}  // namespace mercer::gram
