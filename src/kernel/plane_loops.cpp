#include "plane_loops.hpp"

#include "mercer/base/instructions.hpp"

namespace mercer::kernel {

#define MERCER_PLANE_LOOPS(isa)                 \
  namespace isa {                               \
  extern const PlaneLoops<double> double_loops; \
  extern const PlaneLoops<float> float_loops;   \
  extern const PairLoops pair_loops;            \
  }
MERCER_PLANE_LOOPS(baseline)
#ifdef MERCER_LOOPS_X86
MERCER_PLANE_LOOPS(avx2)
MERCER_PLANE_LOOPS(avx512)
#else
namespace avx2 = baseline;
namespace avx512 = baseline;
#endif
#undef MERCER_PLANE_LOOPS

template <>
const PlaneLoops<double>& plane_loops<double>() {
  static const auto& chosen =
      version_of(avx512::double_loops, avx2::double_loops, baseline::double_loops);
  return chosen;
}
template <>
const PlaneLoops<float>& plane_loops<float>() {
  static const auto& chosen =
      version_of(avx512::float_loops, avx2::float_loops, baseline::float_loops);
  return chosen;
}
const PairLoops& pair_loops() {
  static const auto& chosen =
      version_of(avx512::pair_loops, avx2::pair_loops, baseline::pair_loops);
  return chosen;
}

}  // namespace mercer::kernel
