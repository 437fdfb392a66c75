#pragma once

#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "mercer/base/index.hpp"
#include "mercer/base/random.hpp"

namespace mercer::test {

/// Test matrices as formulas of the global index, so that nothing is gathered; indices from 0.

/// A_ij = min(i, j) + 1. Eigenvalues 1/(4 sin^2((2m-1) pi/(4n+2))), m = 1 ... n (descending as
/// listed), eigenvectors v_m(i) = sin((2m-1)(i+1) pi/(2n+1)) 2/sqrt(2n+1); Cholesky factor L_ij = 1
/// for i >= j; the inverse is tridiagonal(-1, 2, -1) with a last diagonal entry 1.
struct MinMatrix {
  Index n;
  double operator()(Index i, Index j) const { return static_cast<double>(std::min(i, j) + 1); }
  double eigenvalue(Index m) const {  // m from 0, descending
    const double s = std::sin((2.0 * static_cast<double>(m) + 1) * std::numbers::pi /
                              (4.0 * static_cast<double>(n) + 2));
    return 0.25 / (s * s);
  }
  double eigenvector(Index i, Index m) const {
    const double N = 2.0 * static_cast<double>(n) + 1;
    return 2 / std::sqrt(N) *
           std::sin((2.0 * static_cast<double>(m) + 1) * static_cast<double>(i + 1) *
                    std::numbers::pi / N);
  }
  double inverse(Index i, Index j) const {
    if (i == j) return i == n - 1 ? 1 : 2;
    return std::abs(i - j) == 1 ? -1 : 0;
  }
};

/// A = H diag(lambda) H with the Householder reflection H = I - 2 u u^T, |u| = 1: a matrix of any
/// prescribed spectrum whose eigenvectors are the columns of H. Entry in O(1).
class HouseholderMatrix {
 public:
  explicit HouseholderMatrix(std::vector<double> lambda, std::uint64_t seed = 1)
      : lambda_(std::move(lambda)), u_(lambda_.size()) {
    double norm = 0;
    for (std::size_t i = 0; i < u_.size(); ++i) {
      u_[i] = Random(seed, Stream::test).normal(i);
      norm += u_[i] * u_[i];
    }
    for (double& x : u_) x /= std::sqrt(norm);
    for (std::size_t i = 0; i < u_.size(); ++i) weight_ += lambda_[i] * u_[i] * u_[i];
  }
  double operator()(Index i, Index j) const {
    const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
    const double diagonal = i == j ? lambda_[a] : 0;
    return diagonal - 2 * u_[a] * u_[b] * (lambda_[a] + lambda_[b]) + 4 * weight_ * u_[a] * u_[b];
  }
  double eigenvalue(Index m) const { return lambda_[static_cast<std::size_t>(m)]; }
  double eigenvector(Index i, Index m) const {
    const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(m);
    return (i == m ? 1.0 : 0.0) - 2 * u_[a] * u_[b];
  }

 private:
  std::vector<double> lambda_, u_;
  double weight_ = 0;
};

/// The Gram matrix of a kernel kappa(cos angle) on n points equispaced on the unit circle:
/// circulant, A_ij = kappa(cos(2 pi (i - j)/n)), eigenvalues sum_j kappa(cos(2 pi j/n)) cos(2 pi m
/// j/n), double for 0 < m < n/2.
struct CirculantMatrix {
  Index n;
  std::function<double(double)> kappa;
  double operator()(Index i, Index j) const {
    const Index k = std::min((i - j + n) % n, (j - i + n) % n);  // exactly symmetric
    return kappa(std::cos(2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n)));
  }
  double eigenvalue(Index frequency) const {
    double sum = 0;
    for (Index j = 0; j < n; ++j)
      sum +=
          (*this)(j, 0) * std::cos(2 * std::numbers::pi * static_cast<double>(frequency * j % n) /
                                   static_cast<double>(n));
    return sum;
  }
};

}  // namespace mercer::test
