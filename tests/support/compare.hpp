#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/dist_matrix.hpp"

namespace mercer::test {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Fills the local part with NaN, so that an entry that nobody writes cannot pass.
template <class T>
void poison(dist::DistMatrix<T>& A) {
  A.fill([](Index, Index) { return kNaN; });
}

struct Comparison {
  double largest = 0;  ///< max |A(i,j) - f(i,j)|; NaN as soon as one entry is NaN
  Index compared = 0;  ///< entries compared over all ranks: assert it
};

/// Compares with a formula of the global indices. Collective; the same result on all ranks.
template <class T, class F>
Comparison compare(const dist::DistMatrix<T>& A, F&& f) {
  double largest = 0, nans = 0;
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i) {
      const double error = std::abs(
          static_cast<double>(A(LocalIndex{i}, LocalIndex{j})) -
          static_cast<double>(f(A.row_map().global({i}).value, A.col_map().global({j}).value)));
      if (std::isnan(error))
        nans = 1;
      else if (error > largest)
        largest = error;
    }
  const auto& all = A.grid().all();
  Comparison result;
  result.largest = all.all_reduce(largest, comm::Op::max);
  if (all.all_reduce(nans, comm::Op::max) > 0) result.largest = kNaN;
  result.compared = all.all_reduce(A.local_rows() * A.local_cols(), comm::Op::sum);
  return result;
}

/// EXPECT that every entry of A is within `tolerance` of f, NaN failing, and that all were
/// compared.
template <class T, class F>
void expect_equal(const dist::DistMatrix<T>& A, F&& f, double tolerance) {
  const Comparison c = compare(A, f);
  EXPECT_EQ(c.compared, A.rows() * A.cols());
  EXPECT_TRUE(c.largest <= tolerance) << "largest difference " << c.largest << " > " << tolerance;
}

}  // namespace mercer::test
