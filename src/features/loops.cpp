#include "loops.hpp"

#include "mercer/base/instructions.hpp"

namespace mercer::features {

namespace baseline {
extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
}  // namespace baseline
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
}  // namespace avx2
namespace avx512 {
extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
}  // namespace avx512
#endif

template <>
const Loops<double>& loops<double>() {
#ifdef MERCER_LOOPS_X86
  static const Instructions set = instructions();
  if (set == Instructions::avx512) return avx512::loops_double;
  if (set == Instructions::avx2) return avx2::loops_double;
#endif
  return baseline::loops_double;
}

template <>
const Loops<float>& loops<float>() {
#ifdef MERCER_LOOPS_X86
  static const Instructions set = instructions();
  if (set == Instructions::avx512) return avx512::loops_float;
  if (set == Instructions::avx2) return avx2::loops_float;
#endif
  return baseline::loops_float;
}

}  // namespace mercer::features
