// Compiled once per instruction set, which MERCER_ISA names, and with fast-math, so that the
// compiler calls glibc's vector functions (libmvec).

#include <math.h>

#include "loops.hpp"

namespace mercer::features::MERCER_ISA {

namespace {

using Size = std::int64_t;

#define MERCER_INLINE inline __attribute__((always_inline))

MERCER_INLINE double cos_of(double x) {
  return ::cos(x);
}
MERCER_INLINE float cos_of(float x) {
  return ::cosf(x);
}
MERCER_INLINE double sin_of(double x) {
  return ::sin(x);
}
MERCER_INLINE float sin_of(float x) {
  return ::sinf(x);
}

template <class T>
void waves(Size rows, Size cols, Size ld, const T* scale, T* z, T* sines) {
  for (Size j = 0; j < cols; ++j) {
    T* zj = z + j * ld;
    T* sj = sines + j * ld;
#pragma omp simd
    for (Size i = 0; i < rows; ++i) sj[i] = scale[i] * sin_of(zj[i]);
#pragma omp simd
    for (Size i = 0; i < rows; ++i) zj[i] = scale[i] * cos_of(zj[i]);
  }
}

template <class T>
void rectify(Size rows, Size cols, Size ld, const T* scale, T below, T above, T* z) {
  for (Size j = 0; j < cols; ++j) {
    T* zj = z + j * ld;
#pragma omp simd
    for (Size i = 0; i < rows; ++i) zj[i] *= scale[i] * (zj[i] > 0 ? above : below);
  }
}

template <class T>
void slope_times(Size rows, Size cols, Size ld, const T* scale, T below, T above, T* z, Size ld_y,
                 const T* y) {
  for (Size j = 0; j < cols; ++j) {
    T* zj = z + j * ld;
    const T* yj = y + j * ld_y;
#pragma omp simd
    for (Size i = 0; i < rows; ++i) zj[i] = scale[i] * (zj[i] > 0 ? above : below) * yj[i];
  }
}

#define MERCER_STRING_(x) #x
#define MERCER_STRING(x) MERCER_STRING_(x)

}  // namespace

extern const Loops<double> loops_double;
extern const Loops<float> loops_float;
const Loops<double> loops_double = {MERCER_STRING(MERCER_ISA), waves, rectify, slope_times};
const Loops<float> loops_float = {MERCER_STRING(MERCER_ISA), waves, rectify, slope_times};

}  // namespace mercer::features::MERCER_ISA
