#include "plane_loops.hpp"

#include "mercer/base/instructions.hpp"

namespace mercer::kernel {

namespace baseline {
extern const PlaneLoops plane_loops;
}
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const PlaneLoops plane_loops;
}
namespace avx512 {
extern const PlaneLoops plane_loops;
}
#endif

const PlaneLoops& plane_loops() {
  static const PlaneLoops& chosen = []() -> const PlaneLoops& {
#ifdef MERCER_LOOPS_X86
    const Instructions set = instructions();
    if (set == Instructions::avx512) return avx512::plane_loops;
    if (set == Instructions::avx2) return avx2::plane_loops;
#endif
    return baseline::plane_loops;
  }();
  return chosen;
}

}  // namespace mercer::kernel
