#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <type_traits>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::krr {

/// Copies data by rows in double to a matrix on the grid in precision T, and back. Collective.
template <class T>
dist::DistMatrix<T> to_grid(const dist::RowBlock<double>& rows, const dist::ProcessGrid& grid,
                            Index nb) {
  dist::DistMatrix<T> A(grid, rows.rows(), rows.cols(), nb);
  if constexpr (std::is_same_v<T, double>) {
    dist::copy(rows, A);
  } else {
    dist::RowBlock<T> converted(rows.comm(), rows.rows(), rows.cols());
    std::transform(rows.values().begin(), rows.values().end(), converted.values().begin(),
                   [](double x) { return static_cast<T>(x); });
    dist::copy(converted, A);
  }
  return A;
}

template <class T>
dist::RowBlock<double> to_rows(const dist::DistMatrix<T>& A, const comm::Communicator& comm) {
  dist::RowBlock<T> rows(comm, A.rows(), A.cols());
  dist::copy(A, rows);
  if constexpr (std::is_same_v<T, double>) {
    return rows;
  } else {
    dist::RowBlock<double> converted(comm, A.rows(), A.cols());
    std::copy(rows.values().begin(), rows.values().end(), converted.values().begin());
    return converted;
  }
}

/// The rmse over rows and outputs, from that of every output.
inline double mean_rmse(std::span<const double> by_output) {
  double sum = 0;
  for (const double rmse : by_output) sum += rmse * rmse;
  return std::sqrt(sum / static_cast<double>(by_output.size()));
}

inline void check_ridge(double ridge) {
  if (!(ridge >= 0) || ridge > 1e300)
    throw InputError("the ridge is {}: it must be a finite number, not negative", ridge);
}

/// An eigenvalue of K + gamma I below this is rounding error: p?potrf has a backward error E with
/// |E_ij| <= c eps sqrt(K_ii K_jj), whose norm grows like sqrt(n).
template <class T>
double resolution(Index n, double mean_diagonal) {
  return 10.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
         std::sqrt(static_cast<double>(n)) * mean_diagonal;
}
/// A ridge of this many times resolution() is safe.
inline constexpr double kSafe = 100;

/// Rounds up to one significant digit, for suggested ridges.
inline double round_up(double x) {
  const double unit = std::pow(10.0, std::floor(std::log10(x)));
  return std::ceil(x / unit) * unit;
}

template <class T>
void check_targets(const dist::DistMatrix<T>& K, const dist::RowBlock<double>& Y) {
  if (Y.rows() != K.rows())
    throw InputError("K has {} rows, but there are {} targets", K.rows(), Y.rows());
  if (Y.rows() == 0 || Y.cols() == 0)
    throw InputError("there is nothing to fit: {} rows, {} outputs", Y.rows(), Y.cols());
}

}  // namespace mercer::krr
