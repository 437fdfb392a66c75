#include "shifted_systems.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::msk {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// The dot products of the columns of A and B, on all ranks.
std::vector<double> dots(const comm::Communicator& comm, const Matrix<double>& A,
                         const Matrix<double>& B) {
  std::vector<double> sums(at(A.cols()), 0.0);
  for (Index j = 0; j < A.cols(); ++j)
    for (Index i = 0; i < A.rows(); ++i) sums[at(j)] += A(i, j) * B(i, j);
  comm.all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums;
}

/// The recurrence of one column: conjugate gradients with the smallest shift, and for each shift
/// the factor zeta by which its residual is that one's.
struct Column {
  double square = 0;  ///< |r|^2
  double alpha = 1, beta = 0;
  std::vector<double> zeta, zeta_before, alpha_of, beta_of;  ///< of each shift
};

/// All columns and shifts of one call.
class Solver {
 public:
  Solver(const comm::Communicator& comm, std::span<const double> shifts, MatrixView<const double> b)
      : comm_(comm), shifts_(shifts), least_(*std::ranges::min_element(shifts)) {
    comm::together(comm_, [&] {
      R_ = Matrix<double>(b.rows, b.cols);
      W_ = Matrix<double>(b.rows, b.cols);
      P_ = Matrix<double>(b.rows, b.cols);
      for (std::size_t s = 0; s < shifts.size(); ++s) {
        Y_.emplace_back(b.rows, b.cols, 0.0);
        directions_.emplace_back(b.rows, b.cols);
      }
    });
    for (Index j = 0; j < b.cols; ++j) {
      std::copy_n(b.column(j), b.rows, R_.column(j));
      std::copy_n(b.column(j), b.rows, P_.column(j));
      for (auto& D : directions_) std::copy_n(b.column(j), b.rows, D.column(j));
    }
    const auto squares = dots(comm_, R_, R_);
    const std::vector<double> ones(shifts.size(), 1.0);
    for (const double square : squares)
      columns_.push_back(
          {.square = square, .zeta = ones, .zeta_before = ones, .alpha_of = ones, .beta_of = ones});
  }

  /// The largest residual of shift s over the columns.
  double residual(std::size_t s) const {
    double largest = 0;
    for (const auto& column : columns_)
      largest = std::max(largest, std::abs(column.zeta[s]) * std::sqrt(column.square));
    return largest;
  }
  bool converged(double tolerance) const {
    for (std::size_t s = 0; s < shifts_.size(); ++s)
      if (!(residual(s) <= tolerance)) return false;
    return true;
  }

  void step(const BlockProduct& B) {
    B(P_.view(), W_.view());
    for (Index j = 0; j < P_.cols(); ++j)
      for (Index i = 0; i < P_.rows(); ++i) W_(i, j) += least_ * P_(i, j);
    const auto curvature = dots(comm_, P_, W_);
    for (Index j = 0; j < P_.cols(); ++j) {
      if (!std::isfinite(curvature[at(j)]))
        throw RunError("shifted systems: products of K have entries that are not finite numbers");
      advance(columns_[at(j)], curvature[at(j)]);
      update(j);
    }
    const auto squares = dots(comm_, R_, R_);
    for (Index j = 0; j < P_.cols(); ++j) direct(j, squares[at(j)]);
  }

  ShiftedSolution solution(Index steps) && {
    ShiftedSolution result{.Y = std::move(Y_), .steps = steps};
    for (std::size_t s = 0; s < shifts_.size(); ++s) result.residuals.push_back(residual(s));
    return result;
  }

 private:
  /// The step lengths alpha of the column, and the next zeta of every shift. A column whose
  /// residual is zero to rounding stays as it is.
  void advance(Column& c, double curvature) {
    const double before = c.alpha;
    c.alpha = c.square > 0 && curvature > 0 ? c.square / curvature : 0;
    for (std::size_t s = 0; s < shifts_.size(); ++s) {
      const double delta = shifts_[s] - least_;
      const double below = before * c.zeta_before[s] * (1 + c.alpha * delta) +
                           c.alpha * c.beta * (c.zeta_before[s] - c.zeta[s]);
      const double next = below != 0 ? c.zeta[s] * c.zeta_before[s] * before / below : 0;
      c.alpha_of[s] = c.zeta[s] != 0 ? c.alpha * next / c.zeta[s] : 0;
      c.beta_of[s] = c.zeta[s] != 0 ? next / c.zeta[s] : 0;
      c.zeta_before[s] = c.zeta[s];
      c.zeta[s] = next;
    }
  }
  /// y += alpha p for every shift, r -= alpha (B + shift) p.
  void update(Index j) {
    const auto& c = columns_[at(j)];
    const Index rows = R_.rows();
    for (std::size_t s = 0; s < shifts_.size(); ++s) {
      const double alpha = c.alpha_of[s];
      if (alpha == 0) continue;
      double* y = Y_[s].column(j);
      const double* p = directions_[s].column(j);
      for (Index i = 0; i < rows; ++i) y[i] += alpha * p[i];
    }
    double* r = R_.column(j);
    const double* w = W_.column(j);
    for (Index i = 0; i < rows; ++i) r[i] -= c.alpha * w[i];
  }
  /// p = zeta r + beta p for every shift.
  void direct(Index j, double square) {
    auto& c = columns_[at(j)];
    c.beta = c.square > 0 ? square / c.square : 0;
    c.square = square;
    const Index rows = R_.rows();
    const double* r = R_.column(j);
    for (std::size_t s = 0; s < shifts_.size(); ++s) {
      const double beta = c.beta * c.beta_of[s] * c.beta_of[s], zeta = c.zeta[s];
      if (zeta == 0) continue;
      double* p = directions_[s].column(j);
      for (Index i = 0; i < rows; ++i) p[i] = zeta * r[i] + beta * p[i];
    }
    double* p = P_.column(j);
    for (Index i = 0; i < rows; ++i) p[i] = r[i] + c.beta * p[i];
  }

  const comm::Communicator& comm_;
  std::span<const double> shifts_;
  double least_;
  Matrix<double> R_, W_, P_;
  std::vector<Matrix<double>> Y_, directions_;
  std::vector<Column> columns_;
};

}  // namespace

ShiftedSolution solve_shifted(const comm::Communicator& comm, const BlockProduct& B,
                              std::span<const double> shifts, MatrixView<const double> b,
                              double tolerance, Index max_steps) {
  Solver solver(comm, shifts, b);
  Index steps = 0;
  while (!solver.converged(tolerance) && steps < max_steps) {
    solver.step(B);
    ++steps;
  }
  return std::move(solver).solution(steps);
}

}  // namespace mercer::msk
