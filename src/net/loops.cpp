#include "loops.hpp"

namespace mercer::net {

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

namespace {

enum class Isa { baseline, avx2, avx512 };

Isa widest() {
#ifdef MERCER_LOOPS_X86
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd"))
    return Isa::avx512;
  if (has_avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

}  // namespace

template <>
const Loops<double>& loops<double>() {
  static const Isa isa = widest();
#ifdef MERCER_LOOPS_X86
  if (isa == Isa::avx512) return avx512::loops_double;
  if (isa == Isa::avx2) return avx2::loops_double;
#endif
  return baseline::loops_double;
}

template <>
const Loops<float>& loops<float>() {
  static const Isa isa = widest();
#ifdef MERCER_LOOPS_X86
  if (isa == Isa::avx512) return avx512::loops_float;
  if (isa == Isa::avx2) return avx2::loops_float;
#endif
  return baseline::loops_float;
}

}  // namespace mercer::net
