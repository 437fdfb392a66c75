#pragma once

#include <string>
#include <type_traits>

#include "mercer/dist/dist_matrix.hpp"

// The Fortran symbols of PBLAS and ScaLAPACK that Mercer calls, and templates that choose the
// letter d or s in their names by the element type.

extern "C" {
#define MERCER_DECLARE(T, s)                                                                       \
  void p##s##gemm_(const char*, const char*, const int*, const int*, const int*, const T*,         \
                   const T*, const int*, const int*, const int*, const T*, const int*, const int*, \
                   const int*, const T*, T*, const int*, const int*, const int*);                  \
  void p##s##syrk_(const char*, const char*, const int*, const int*, const T*, const T*,           \
                   const int*, const int*, const int*, const T*, T*, const int*, const int*,       \
                   const int*);                                                                    \
  void p##s##symm_(const char*, const char*, const int*, const int*, const T*, const T*,           \
                   const int*, const int*, const int*, const T*, const int*, const int*,           \
                   const int*, const T*, T*, const int*, const int*, const int*);                  \
  void p##s##potrf_(const char*, const int*, T*, const int*, const int*, const int*, int*);        \
  void p##s##potrs_(const char*, const int*, const int*, const T*, const int*, const int*,         \
                    const int*, T*, const int*, const int*, const int*, int*);                     \
  void p##s##sytrd_(const char*, const int*, T*, const int*, const int*, const int*, T*, T*, T*,   \
                    T*, const int*, int*);                                                         \
  void p##s##stedc_(const char*, const int*, T*, T*, T*, const int*, const int*, const int*, T*,   \
                    const int*, int*, const int*, int*);                                           \
  void p##s##ormtr_(const char*, const char*, const char*, const int*, const int*, const T*,       \
                    const int*, const int*, const int*, const T*, T*, const int*, const int*,      \
                    const int*, T*, const int*, int*);                                             \
  void p##s##syev_(const char*, const char*, const int*, T*, const int*, const int*, const int*,   \
                   T*, T*, const int*, const int*, const int*, T*, const int*, int*);              \
  void p##s##syevx_(const char*, const char*, const char*, const int*, T*, const int*, const int*, \
                    const int*, const T*, const T*, const int*, const int*, const T*, int*, int*,  \
                    T*, const T*, T*, const int*, const int*, const int*, T*, const int*, int*,    \
                    const int*, int*, int*, T*, int*);
MERCER_DECLARE(double, d)
MERCER_DECLARE(float, s)
#undef MERCER_DECLARE
}

namespace mercer::la::fortran {

#define MERCER_CHOOSE(name, routine)         \
  template <class T, class... Args>          \
  void name(Args... args) {                  \
    if constexpr (std::is_same_v<T, double>) \
      MERCER_PASTE(d, routine)(args...);     \
    else                                     \
      MERCER_PASTE(s, routine)(args...);     \
  }
#define MERCER_PASTE(s, routine) p##s##routine##_
MERCER_CHOOSE(gemm, gemm)
MERCER_CHOOSE(syrk, syrk)
MERCER_CHOOSE(symm, symm)
MERCER_CHOOSE(potrf, potrf)
MERCER_CHOOSE(potrs, potrs)
MERCER_CHOOSE(sytrd, sytrd)
MERCER_CHOOSE(stedc, stedc)
MERCER_CHOOSE(ormtr, ormtr)
MERCER_CHOOSE(syev, syev)
MERCER_CHOOSE(syevx, syevx)
#undef MERCER_PASTE
#undef MERCER_CHOOSE

}  // namespace mercer::la::fortran

namespace mercer::la {

/// "pdstedc" or "psstedc" for routine "stedc".
template <class T>
std::string routine(const char* name) {
  return std::string(std::is_same_v<T, double> ? "pd" : "ps") + name;
}

/// INFO of a ScaLAPACK routine, agreed on by all ranks of the grid (idle ones pass 0): the largest
/// if it is positive, else the smallest. Collective. Defined in the file of Mercer's pxerbla, so
/// that whatever calls ScaLAPACK through Mercer links that pxerbla and not ScaLAPACK's.
int agreed_info(const dist::ProcessGrid& grid, int info);

}  // namespace mercer::la
