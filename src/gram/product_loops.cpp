#include "product_loops.hpp"

#include "mercer/base/instructions.hpp"

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
    const Instructions set = instructions();
    if (set == Instructions::avx512) return avx512::loops;
    if (set == Instructions::avx2) return avx2::loops;
#endif
    return baseline::loops;
  }();
  return chosen;
}

}  // namespace mercer::gram
