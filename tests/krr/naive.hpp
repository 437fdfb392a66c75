#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

#include "mercer/base/index.hpp"
#include "mercer/base/matrix.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/dist/row_block.hpp"

/// Slow, plain, replicated twins of what krr does on the grid.
namespace mercer::test {

using Dense = Matrix<double>;

template <class F>
Dense dense(Index rows, Index cols, F&& f) {
  Dense A(rows, cols);
  for (Index j = 0; j < cols; ++j)
    for (Index i = 0; i < rows; ++i) A(i, j) = f(i, j);
  return A;
}

inline Dense times(const Dense& A, const Dense& B) {
  return dense(A.rows(), B.cols(), [&](Index i, Index j) {
    double sum = 0;
    for (Index l = 0; l < A.cols(); ++l) sum += A(i, l) * B(l, j);
    return sum;
  });
}

inline Dense plus_ridge(const Dense& A, double ridge) {
  return dense(A.rows(), A.cols(),
               [&](Index i, Index j) { return A(i, j) + (i == j ? ridge : 0); });
}

/// A^-1 B by Gaussian elimination with row pivots.
inline Dense solved(const Dense& matrix, const Dense& rhs) {
  Dense A = matrix.copy(), B = rhs.copy();
  const Index n = A.rows();
  for (Index k = 0; k < n; ++k) {
    Index pivot = k;
    for (Index i = k + 1; i < n; ++i)
      if (std::abs(A(i, k)) > std::abs(A(pivot, k))) pivot = i;
    for (Index j = 0; j < n; ++j) std::swap(A(k, j), A(pivot, j));
    for (Index j = 0; j < B.cols(); ++j) std::swap(B(k, j), B(pivot, j));
    for (Index i = k + 1; i < n; ++i) {
      const double factor = A(i, k) / A(k, k);
      for (Index j = k; j < n; ++j) A(i, j) -= factor * A(k, j);
      for (Index j = 0; j < B.cols(); ++j) B(i, j) -= factor * B(k, j);
    }
  }
  for (Index j = 0; j < B.cols(); ++j)
    for (Index i = n - 1; i >= 0; --i) {
      for (Index l = i + 1; l < n; ++l) B(i, j) -= A(i, l) * B(l, j);
      B(i, j) /= A(i, i);
    }
  return B;
}

/// Rows and columns of A in the given lists.
inline Dense part(const Dense& A, const std::vector<Index>& rows, const std::vector<Index>& cols) {
  return dense(static_cast<Index>(rows.size()), static_cast<Index>(cols.size()),
               [&](Index i, Index j) {
                 return A(rows[static_cast<std::size_t>(i)], cols[static_cast<std::size_t>(j)]);
               });
}

inline std::vector<Index> range(Index first, Index last) {
  std::vector<Index> values;
  for (Index i = first; i < last; ++i) values.push_back(i);
  return values;
}

/// Eigenvalues, descending, and eigenvectors in columns, by cyclic Jacobi rotations.
inline std::pair<std::vector<double>, Dense> jacobi(const Dense& matrix) {
  Dense A = matrix.copy();
  const Index n = A.rows();
  Dense V = dense(n, n, [](Index i, Index j) { return i == j ? 1.0 : 0.0; });
  for (int sweep = 0; sweep < 30; ++sweep)
    for (Index p = 0; p < n; ++p)
      for (Index q = p + 1; q < n; ++q) {
        if (A(p, q) == 0) continue;
        const double tau = (A(q, q) - A(p, p)) / (2 * A(p, q));
        const double t = (tau >= 0 ? 1 : -1) / (std::abs(tau) + std::sqrt(1 + tau * tau));
        const double c = 1 / std::sqrt(1 + t * t), s = t * c;
        for (Index i = 0; i < n; ++i) {
          const double x = A(i, p), y = A(i, q);
          A(i, p) = c * x - s * y, A(i, q) = s * x + c * y;
        }
        for (Index i = 0; i < n; ++i) {
          const double x = A(p, i), y = A(q, i);
          A(p, i) = c * x - s * y, A(q, i) = s * x + c * y;
        }
        for (Index i = 0; i < n; ++i) {
          const double x = V(i, p), y = V(i, q);
          V(i, p) = c * x - s * y, V(i, q) = s * x + c * y;
        }
      }
  std::vector<Index> order = range(0, n);
  std::sort(order.begin(), order.end(), [&](Index a, Index b) { return A(a, a) > A(b, b); });
  std::vector<double> lambda;
  for (Index i : order) lambda.push_back(A(i, i));
  return {lambda, part(V, range(0, n), order)};
}

template <class F>
dist::RowBlock<double> row_block(const comm::Communicator& comm, Index rows, Index cols, F&& f) {
  dist::RowBlock<double> result(comm, rows, cols);
  for (Index i = 0; i < result.local_rows(); ++i)
    for (Index j = 0; j < cols; ++j)
      result.row(i)[static_cast<std::size_t>(j)] = f(result.first_row() + i, j);
  return result;
}

inline Dense replicated(const dist::RowBlock<double>& rows) {
  const Dense transposed = dist::all_rows(rows);
  return dense(rows.rows(), rows.cols(), [&](Index i, Index j) { return transposed(j, i); });
}

/// max |A - B|; NaN as soon as one entry is, or the shapes differ.
inline double difference(const Dense& A, const Dense& B) {
  if (A.rows() != B.rows() || A.cols() != B.cols()) return std::nan("");
  double largest = 0;
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < A.rows(); ++i) {
      const double error = std::abs(A(i, j) - B(i, j));
      if (!(error >= 0)) return std::nan("");
      largest = std::max(largest, error);
    }
  return largest;
}

/// The same over max |B|.
inline double relative_difference(const Dense& A, const Dense& B) {
  const double scale = difference(B, dense(B.rows(), B.cols(), [](Index, Index) { return 0.0; }));
  return scale > 0 ? difference(A, B) / scale : difference(A, B);
}

}  // namespace mercer::test
