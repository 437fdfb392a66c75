#pragma once

#include <array>
#include <cmath>
#include <span>

#include "mercer/base/matrix.hpp"

namespace mercer::train {

/// Sum of f(i), i < count, in double, by eight running sums, which compilers can vectorise without
/// reordering: the bits depend on the values alone. Local.
template <class F>
double running_sum(std::size_t count, F&& f) {
  constexpr std::size_t kLanes = 8;
  std::array<double, kLanes> sums{};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += f(i + lane);
  double total = 0;
  for (; i < count; ++i) total += f(i);
  for (const double sum : sums) total += sum;
  return total;
}

template <class T>
double square_sum(std::span<const T> x) {
  return running_sum(x.size(), [&](std::size_t i) {
    const auto value = static_cast<double>(x[i]);
    return value * value;
  });
}

/// |x - y|.
template <class T>
double distance(std::span<const T> x, std::span<const T> y) {
  return std::sqrt(running_sum(x.size(), [&](std::size_t i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    return difference * difference;
  }));
}

/// The entries of a view with contiguous columns (ld = rows) as one range.
template <class T>
std::span<const T> entries(MatrixView<const T> A) {
  return {A.data, static_cast<std::size_t>(A.rows * A.cols)};
}

}  // namespace mercer::train
