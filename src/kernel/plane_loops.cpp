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
#endif
#undef MERCER_PLANE_LOOPS

namespace {

template <class Loops>
const Loops& choose([[maybe_unused]] const Loops& avx512, [[maybe_unused]] const Loops& avx2,
                    const Loops& baseline) {
#ifdef MERCER_LOOPS_X86
  const Instructions set = instructions();
  if (set == Instructions::avx512) return avx512;
  if (set == Instructions::avx2) return avx2;
#endif
  return baseline;
}

#ifndef MERCER_LOOPS_X86
namespace avx2 = baseline;
namespace avx512 = baseline;
#endif

}  // namespace

template <>
const PlaneLoops<double>& plane_loops<double>() {
  static const auto& chosen =
      choose(avx512::double_loops, avx2::double_loops, baseline::double_loops);
  return chosen;
}
template <>
const PlaneLoops<float>& plane_loops<float>() {
  static const auto& chosen = choose(avx512::float_loops, avx2::float_loops, baseline::float_loops);
  return chosen;
}
const PairLoops& pair_loops() {
  static const auto& chosen = choose(avx512::pair_loops, avx2::pair_loops, baseline::pair_loops);
  return chosen;
}

}  // namespace mercer::kernel
