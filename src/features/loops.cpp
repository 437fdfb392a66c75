#include "loops.hpp"

#include "mercer/base/instructions.hpp"

namespace mercer::features {

#define MERCER_DECLARE(ISA)                \
  namespace ISA {                          \
  extern const Loops<double> loops_double; \
  extern const Loops<float> loops_float;   \
  }
MERCER_DECLARE(baseline)
#ifdef MERCER_LOOPS_X86
MERCER_DECLARE(avx2)
MERCER_DECLARE(avx512)
#else
namespace avx2 = baseline;
namespace avx512 = baseline;
#endif
#undef MERCER_DECLARE

template <>
const Loops<double>& loops<double>() {
  static const auto& chosen =
      version_of(avx512::loops_double, avx2::loops_double, baseline::loops_double);
  return chosen;
}
template <>
const Loops<float>& loops<float>() {
  static const auto& chosen =
      version_of(avx512::loops_float, avx2::loops_float, baseline::loops_float);
  return chosen;
}

}  // namespace mercer::features
