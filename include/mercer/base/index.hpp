#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "mercer/base/error.hpp"

namespace mercer {

/// Sizes, counts and positions. Local buffers may exceed 2^31 elements, so nothing in Mercer counts
/// in `int`; the narrowing that BLAS and MPI force happens in to_int() alone.
using Index = std::int64_t;

/// Narrows `value` to the 32-bit int of BLAS, LAPACK, BLACS and MPI. Local.
/// Throws RunError naming `what` if it does not fit.
inline int to_int(Index value, std::string_view what) {
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max())
    throw RunError("{} = {} does not fit the 32-bit integers of BLAS and MPI: use more ranks", what,
                   value);
  return static_cast<int>(value);
}

/// ceil(a / b) for a >= 0, b > 0.
constexpr Index ceil_div(Index a, Index b) {
  return (a + b - 1) / b;
}

/// An index into the whole distributed object, and one into this rank's part of it: two types, so
/// that the compiler rejects one in place of the other.
struct GlobalIndex {
  Index value = 0;
  friend constexpr auto operator<=>(GlobalIndex, GlobalIndex) = default;
};
struct LocalIndex {
  Index value = 0;
  friend constexpr auto operator<=>(LocalIndex, LocalIndex) = default;
};

template <class T>
concept Real = std::is_same_v<T, double> || std::is_same_v<T, float>;

}  // namespace mercer
