#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/random.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "support/compare.hpp"

/// Inputs and vectors by formula, and K V by plain loops over a matrix that every rank has whole.
namespace mercer::test {

inline constexpr Index kDimension = 5;

inline double input(Index i, Index c) {
  return Random(11, Stream::test, 1).normal(static_cast<std::uint64_t>(i * kDimension + c));
}
inline double entry(Index i, Index c) {
  return std::sin(static_cast<double>(5 * i + 3 * c + 1));
}

inline dist::RowBlock<double> inputs(const comm::Communicator& comm, Index n) {
  dist::RowBlock<double> X(comm, n, kDimension);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index c = 0; c < kDimension; ++c)
      X.row(i)[static_cast<std::size_t>(c)] = input(X.first_row() + i, c);
  return X;
}

inline std::shared_ptr<const kernel::Kernel> gaussian() {
  static const auto kernel = [] {
    kernel::Options options;
    options.kind = kernel::Kind::gaussian;
    options.bandwidth = 1.5;
    return kernel::make(options);
  }();
  return kernel;
}
inline std::shared_ptr<const kernel::Kernel> ntk() {
  static const auto kernel = [] {
    kernel::Options options;
    options.architecture = arch::parse("dense relu dense relu dense");
    return kernel::make(options);
  }();
  return kernel;
}

/// (1/n) [k(x_i, x_j)]: the Gaussian kernel by its formula; another as one tile of the whole.
inline Matrix<double> dense(const kernel::Kernel& kernel, Index n) {
  Matrix<double> K(n, n);
  if (kernel.text().starts_with("gaussian")) {
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < n; ++i) {
        double distance = 0;
        for (Index c = 0; c < kDimension; ++c) distance += std::pow(input(i, c) - input(j, c), 2);
        K(i, j) = std::exp(-distance / (2 * 1.5 * 1.5));
      }
  } else if (n > 0) {
    Matrix<double> X(kDimension, n);
    for (Index i = 0; i < n; ++i)
      for (Index c = 0; c < kDimension; ++c) X(c, i) = input(i, c);
    const auto rows = kernel.prepare(std::move(X));
    kernel.tile(*rows, 0, *rows, 0, K.view());
  }
  for (Index k = 0; k < K.size(); ++k) K.data()[k] /= static_cast<double>(n);
  return K;
}

/// This rank's rows of the n x b block of entry(i, c).
inline Matrix<double> vectors(const gram::Operator& K, Index b) {
  Matrix<double> V(K.local_rows(), b);
  for (Index c = 0; c < b; ++c)
    for (Index i = 0; i < V.rows(); ++i) V(i, c) = entry(K.first_row() + i, c);
  return V;
}

/// The largest |K V - (dense) V| over the ranks, relative to the largest row sum of |K|.
/// Collective.
inline double product_error(const gram::Operator& K, const Matrix<double>& dense_k, Index b) {
  const Index n = K.size();
  const Matrix<double> V = vectors(K, b);
  Matrix<double> Y(K.local_rows(), b, kNaN);
  K.apply(V.view(), Y.view());
  double largest = 0, norm = 0, nans = 0;
  Index compared = 0;
  for (Index i = 0; i < Y.rows(); ++i)
    for (Index c = 0; c < b; ++c) {
      double sum = 0, row = 0;
      for (Index j = 0; j < n; ++j) {
        sum += dense_k(K.first_row() + i, j) * entry(j, c);
        row += std::abs(dense_k(K.first_row() + i, j));
      }
      const double error = std::abs(Y(i, c) - sum);
      nans += std::isnan(error);
      largest = std::max(largest, error);
      norm = std::max(norm, row);
      ++compared;
    }
  EXPECT_EQ(K.comm().all_reduce(compared, comm::Op::sum), n * b);
  if (K.comm().all_reduce(nans, comm::Op::max) > 0) return kNaN;
  largest = K.comm().all_reduce(largest, comm::Op::max);
  return largest / K.comm().all_reduce(norm, comm::Op::max);
}

}  // namespace mercer::test
