#include "mercer/krr/conjugate_gradients.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "block_basis.hpp"
#include "layout.hpp"
#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/rows.hpp"

namespace mercer::krr {
namespace {

constexpr Index kMeasureEvery = 50;
constexpr double kDrift = 1e-2;  // a larger relative error of the recurrence's residual is drift

/// The largest value; NaN where one is NaN.
double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double x : values) {
    if (std::isnan(x)) return x;
    most = std::max(most, x);
  }
  return most;
}

Matrix<double> side_by_side(View A, View B) {
  Matrix<double> both(A.rows, A.cols + B.cols);
  for (Index j = 0; j < A.cols; ++j) std::copy_n(A.column(j), A.rows, both.column(j));
  for (Index j = 0; j < B.cols; ++j) std::copy_n(B.column(j), B.rows, both.column(A.cols + j));
  return both;
}

/// One run. Names as in Tichy, Meurant, Simonova, arXiv 2502.16998: residuals R = Q S, directions
/// P, W = (A + gamma I) P.
class Run {
 public:
  Run(const gram::Operator& A, double gamma, const LowRankPreconditioner& M, View B,
      const CgOptions& options)
      : A_(A), gamma_(gamma), M_(M), B_(B), options_(options), comm_(A.comm()) {
    check_ridge(gamma);
    if (!(options.tolerance > 0))
      throw InputError("conjugate gradients: the tolerance is {}: it must be positive",
                       options.tolerance);
    comm::together(comm_, [&] { check_shapes(); });
    scale_ = column_norms(comm_, B);
    if (!std::all_of(scale_.begin(), scale_.end(), [](double x) { return std::isfinite(x); }))
      throw InputError("conjugate gradients: the right-hand sides are not finite");
  }

  CgResult solve() {
    if (options_.resume)
      resume(*options_.resume);
    else
      begin();
    try {
      while (!converged() && !stagnates()) {
        step();
        if (options_.progress) options_.progress(state_.iterations, largest(residuals_));
        if (options_.checkpoint && options_.checkpoint(state_)) {
          result_.finished = false;
          break;
        }
      }
      if (result_.finished) measure();
    } catch (const Error& error) {  // product given up, on all ranks; the state has not changed yet
      if (error.code() != ExitCode::interrupted || !options_.checkpoint) throw;
      options_.checkpoint(state_);
      result_.finished = false;
    }
    return finish();
  }

 private:
  void check_shapes() const {
    const auto wrong = [&](View V) { return V.rows != A_.local_rows() || V.cols != B_.cols; };
    if (B_.rows != A_.local_rows())
      throw InputError("conjugate gradients: {} rows of right-hand sides for {} of K", B_.rows,
                       A_.local_rows());
    if (M_.rank() > 0 && M_.vectors().rows != A_.local_rows())
      throw InputError("conjugate gradients: the preconditioner is one of another K");
    if (options_.start.cols > 0 && wrong(options_.start))
      throw InputError("conjugate gradients: the first guess has another shape than the solution");
    if (options_.resume && wrong(options_.resume->X.view()))
      throw InputError("conjugate gradients: the state is one of another system");
  }

  Matrix<double> product(View V) {
    Matrix<double> Y(V.rows, V.cols);
    if (V.cols == 0) return Y;
    A_.apply(V, Y.view());
    result_.products += V.cols;
    for (Index j = 0; j < V.cols; ++j)
      for (Index i = 0; i < V.rows; ++i) Y(i, j) += gamma_ * V(i, j);
    return Y;
  }
  Matrix<double> preconditioned(View R) const {
    Matrix<double> Z(R.rows, R.cols);
    M_.apply(comm_, gamma_, R, Z.view());
    return Z;
  }
  /// B - (A + gamma I) X, given the product.
  Matrix<double> residuals_of(const Matrix<double>& product_of_x) const {
    Matrix<double> R(B_.rows, B_.cols);
    for (Index j = 0; j < R.cols(); ++j)
      for (Index i = 0; i < R.rows(); ++i) R(i, j) = B_(i, j) - product_of_x(i, j);
    return R;
  }
  std::vector<double> relative(std::vector<double> norms) const {
    for (std::size_t j = 0; j < norms.size(); ++j)
      norms[j] = scale_[j] > 0 ? norms[j] / scale_[j] : 0;
    return norms;
  }

  void begin() {
    const bool guessed = options_.start.cols > 0;
    state_.X = Matrix<double>(B_.rows, B_.cols, 0.0);
    for (Index j = 0; guessed && j < B_.cols; ++j)
      if (scale_[static_cast<std::size_t>(j)] > 0)
        std::copy_n(options_.start.column(j), B_.rows, state_.X.column(j));
    restart_from(
        residuals_of(guessed ? product(state_.X.view()) : Matrix<double>(B_.rows, B_.cols, 0.0)));
    measured_ = residuals_;
  }
  void resume(const CgState& state) {
    state_ = state.copy();
    auto [N] = inner(comm_, Inner{state_.Q.view(), state_.Q.view()});
    read_residuals(N);
  }

  /// Replaces the residuals by the measured R; keeps the directions P, where there are any.
  void restart_from(Matrix<double>&& R) {
    residuals_ = relative(column_norms(comm_, R.view()));
    Matrix<double> Z = preconditioned(R.view());
    state_.S = orthonormalise(comm_, M_, gamma_, R, Z);
    state_.Q = std::move(R);
    if (state_.P.cols() == 0) state_.P = std::move(Z);
  }

  /// Relative residuals |Q S_j|/|b_j| from N = Q^T Q.
  void read_residuals(const Matrix<double>& N) {
    const Matrix<double> NS = times(N.view(), state_.S.view());
    std::vector<double> norms;
    for (Index j = 0; j < NS.cols(); ++j) {
      double square = 0;
      for (Index i = 0; i < NS.rows(); ++i) square += state_.S(i, j) * NS(i, j);
      norms.push_back(std::sqrt(std::max(square, 0.0)));
    }
    comm_.broadcast(std::span<double>(norms), 0);  // so that all ranks decide alike
    residuals_ = relative(std::move(norms));
    measured_.clear();
  }

  /// Restarts from the measured residuals R where those of the recurrence differ too much from
  /// them.
  void replace_where_drifted(Matrix<double>&& R) {
    Matrix<double> gap = R.copy();
    add_times(-1, state_.Q.view(), state_.S.view(), gap.view());
    const std::vector<double> error = relative(column_norms(comm_, gap.view()));
    for (std::size_t j = 0; j < error.size(); ++j)
      if (residuals_[j] > 0.1 * options_.tolerance && error[j] > kDrift * residuals_[j]) {
        ++state_.replacements;
        restart_from(std::move(R));
        return;
      }
  }

  void step() {
    Matrix<double> W;
    if (state_.iterations % kMeasureEvery == kMeasureEvery - 1) {
      const Matrix<double> both = product(side_by_side(state_.P.view(), state_.X.view()).view());
      const Index r = state_.P.cols();
      W = Matrix<double>(both.rows(), r);
      std::copy_n(both.data(), W.size(), W.data());
      Matrix<double> AX(B_.rows, B_.cols);
      std::copy_n(both.data() + W.size(), AX.size(), AX.data());
      replace_where_drifted(residuals_of(AX));
    } else {
      W = product(state_.P.view());
    }
    const View P = state_.P.view();
    auto [D, E] = inner(comm_, Inner{P, W.view()}, Inner{P, state_.Q.view()});
    const Matrix<double> root = inverse_root(std::move(D), W);  // D^-1 = root root^T
    const auto solved = [&root](const Matrix<double>& C) {
      return times(root.view(), transposed_times(root.view(), C.view()).view());
    };
    const Matrix<double> alpha = solved(E);
    add_times(1, P, times(alpha.view(), state_.S.view()).view(), state_.X.view());
    add_times(-1, W.view(), alpha.view(), state_.Q.view());

    Matrix<double> Z = preconditioned(state_.Q.view());
    const Matrix<double> C = orthonormalise(comm_, M_, gamma_, state_.Q, Z);
    state_.S = times(C.view(), state_.S.view());
    auto [F, N] = inner(comm_, Inner{W.view(), Z.view()}, Inner{state_.Q.view(), state_.Q.view()});
    add_times(-1, P, solved(F).view(), Z.view());
    state_.P = std::move(Z);
    read_residuals(N);
    ++state_.iterations;
    state_.history.push_back(largest(residuals_));
  }

  /// A matrix `root` of full column rank with D^+ = root root^T, from the eigenpairs of D scaled to
  /// unit diagonal; eigenvalues that are rounding are left out. Throws where D has a negative
  /// eigenvalue, or a zero one whose direction is not zero.
  Matrix<double> inverse_root(Matrix<double>&& D, const Matrix<double>& W) {
    const Index m = D.rows();
    std::vector<double> scale;
    for (Index i = 0; i < m; ++i) scale.push_back(D(i, i) != 0 ? std::sqrt(std::abs(D(i, i))) : 1);
    for (Index j = 0; j < m; ++j)
      for (Index i = 0; i <= j; ++i)
        D(i, j) = D(j, i) = 0.5 * (D(i, j) + D(j, i)) / scale[static_cast<std::size_t>(i)] /
                            scale[static_cast<std::size_t>(j)];
    const SmallEigenpairs pairs = symmetric_eigenpairs(comm_, std::move(D));
    const double least = 1e-14 * static_cast<double>(m) * (m > 0 ? pairs.values.back() : 0);
    Index dropped = 0;
    while (dropped < m && !(pairs.values[static_cast<std::size_t>(dropped)] > least)) ++dropped;
    Matrix<double> Y(m, m);
    for (Index j = 0; j < m; ++j)
      for (Index i = 0; i < m; ++i)
        Y(i, j) = pairs.vectors(i, j) / scale[static_cast<std::size_t>(i)];
    if (dropped > 0) check_curvature(Y.view().block(0, 0, m, dropped), W);
    Matrix<double> root(m, m - dropped);
    for (Index j = 0; j < root.cols(); ++j)
      for (Index i = 0; i < m; ++i)
        root(i, j) =
            Y(i, dropped + j) / std::sqrt(pairs.values[static_cast<std::size_t>(dropped + j)]);
    return root;
  }

  /// Throws where u^T (A + gamma I) u of a direction u = P Y is negative or zero beyond rounding.
  /// (Where P's columns depend on one another, u itself is rounding; such u are ignored.)
  void check_curvature(View Y, const Matrix<double>& W) {
    const Matrix<double> U = times(state_.P.view(), Y), AU = times(W.view(), Y);
    const auto curvature = column_dots(comm_, U.view(), AU.view());
    const auto length = column_norms(comm_, U.view()), p = column_norms(comm_, state_.P.view()),
               w = column_norms(comm_, W.view());
    for (Index j = 0; j < Y.cols; ++j) {
      double most = 0, image = 0;
      for (Index i = 0; i < Y.rows; ++i) {
        most += p[static_cast<std::size_t>(i)] * std::abs(Y(i, j));
        image += w[static_cast<std::size_t>(i)] * std::abs(Y(i, j));
      }
      const double u = length[static_cast<std::size_t>(j)];
      if (u > 1e-8 * most && curvature[static_cast<std::size_t>(j)] <= -1e-13 * u * image)
        refuse_indefinite(U.view().block(0, j, U.rows(), 1));
    }
  }
  [[noreturn]] void refuse_indefinite(View u) {
    const Ritz ritz = extreme_ritz(A_, u);
    const double lambda = ritz.smallest - ritz.smallest_residual;
    const double enough = std::max(-1.1 * lambda, 1e-13 * ritz.largest);
    if (!(enough > 0))
      throw RunError("K and the ridge are zero, or K is negative: nothing can be fitted");
    throw RunError(
        "K + gamma I is not positive definite to working precision at gamma = {:.3g}: K has an "
        "eigenvalue of about {:.2g}; a ridge of {:.2g} would do (where K is stored in single "
        "precision, rounding alone makes eigenvalues of about -{:.0e}: store it in double "
        "precision, or not at all)",
        gamma_, ritz.smallest, round_up(enough), 6e-8 * ritz.largest);
  }

  bool converged() {
    if (!(largest(residuals_) <= options_.tolerance)) return false;
    if (measured_.empty()) {
      Matrix<double> R = residuals_of(product(state_.X.view()));
      measured_ = relative(column_norms(comm_, R.view()));
      if (!(largest(measured_) <= options_.tolerance)) {
        ++state_.replacements;
        restart_from(std::move(R));
        rounding_ = !(largest(measured_) < 0.5 * state_.refused);
        state_.refused = largest(measured_);
        return false;
      }
    }
    result_.converged = true;
    return true;
  }

  bool stagnates() {
    const auto now = state_.iterations;
    const bool stuck = no_progress();
    std::string why;
    if (rounding_ || (stuck && largest(residuals_) < 100 * attainable())) {
      const double more = round_up(2 * largest(residuals_));
      why = fmt::format(
          "rounding in the products with K does not allow less at a ridge of {:.3g} (about {:.1e} "
          "is to be expected); give a larger ridge{}",
          gamma_, attainable(), more < 1 ? fmt::format(", or `tolerance` {:.1g}", more) : "");
    } else if (now >= options_.max_iterations) {
      why = fmt::format("the iteration limit is reached{}", outlook());
    } else if (stuck) {
      why = fmt::format("there was no progress in the last {} iterations{}", options_.patience,
                        advice());
    } else {
      return false;
    }
    result_.stagnation = fmt::format(
        "conjugate gradients: after {} iterations the residual is {:.1e} of |Y|, "
        "{:.1e} was asked for: {}",
        now, largest(residuals_), options_.tolerance, why);
    return true;
  }
  bool no_progress() const {
    const auto& h = state_.history;
    if (std::ssize(h) <= options_.patience) return false;
    const auto recent = h.end() - options_.patience;
    return !(*std::min_element(recent, h.end()) < 0.9 * *std::min_element(h.begin(), recent));
  }
  std::string advice() const {
    return fmt::format("; a larger ridge or a preconditioner of larger rank (now: {}) would help",
                       M_.text());
  }
  /// How many more iterations it would take at the rate of the last half, in words.
  std::string outlook() const {
    const auto& h = state_.history;
    if (h.size() < 10) return advice();
    const std::size_t half = h.size() / 2;
    const double pace = std::log(h[half] / h.back()) / static_cast<double>(h.size() - 1 - half);
    const double more = std::log(h.back() / options_.tolerance) / pace;
    if (!(pace > 0) || more > 1e6) return advice();
    return fmt::format("; about {:.0f} more would do at this pace{}", std::ceil(more), advice());
  }
  /// The residual that rounding allows: the largest eps lambda_max(A + gamma I) |X_j| / |B_j|.
  double attainable() {
    const auto lengths = relative(column_norms(comm_, state_.X.view()));
    if (lengths.empty()) return 0;
    const auto at = std::max_element(lengths.begin(), lengths.end());
    const View x = state_.X.view().block(0, at - lengths.begin(), B_.rows, 1);
    return std::numeric_limits<double>::epsilon() * (extreme_ritz(A_, x).largest + gamma_) * *at;
  }

  void measure() {
    if (!measured_.empty()) return;
    const Matrix<double> R = residuals_of(product(state_.X.view()));
    measured_ = relative(column_norms(comm_, R.view()));
  }

  CgResult finish() {
    result_.residuals = result_.finished ? measured_ : residuals_;
    result_.iterations = state_.iterations;
    result_.replacements = state_.replacements;
    result_.history = std::move(state_.history);
    result_.X = std::move(state_.X);
    return std::move(result_);
  }

  const gram::Operator& A_;
  double gamma_;
  const LowRankPreconditioner& M_;
  View B_;
  const CgOptions& options_;
  const comm::Communicator& comm_;
  std::vector<double> scale_;  ///< |b_j|
  CgState state_;
  std::vector<double> residuals_;  ///< relative, of every column, by the recurrence
  std::vector<double> measured_;   ///< the same, measured for the current X; empty: not measured
  bool rounding_ = false;          ///< measured residuals did not fall to half since the last time
  CgResult result_;
};

CgFit fitted(const gram::Operator& A, const LowRankPreconditioner& M, const RowBlock<double>& Y,
             double ridge, const CgOptions& options) {
  if (Y.rows() != A.size())
    throw InputError("K has {} rows, but there are {} targets", A.size(), Y.rows());
  if (Y.rows() == 0 || Y.cols() == 0)
    throw InputError("there is nothing to fit: {} rows, {} outputs", Y.rows(), Y.cols());
  const Matrix<double> B = dist::to_columns(Y);
  CgFit result;
  result.solution = conjugate_gradients(A, ridge, M, B.view(), options);
  const auto norms = column_norms(A.comm(), B.view());
  double error = 0, all = 0;
  for (std::size_t j = 0; j < norms.size(); ++j) {
    error += std::pow(result.solution.residuals[j] * norms[j], 2);
    all += norms[j] * norms[j];
  }
  result.fit.ridge = ridge;
  result.fit.residual = all > 0 ? std::sqrt(error / all) : 0;
  result.fit.residual_exact = result.solution.finished;
  return result;
}

}  // namespace

CgState CgState::copy() const {
  return {iterations, replacements, X.copy(), Q.copy(), P.copy(), S.copy(), history, refused};
}

CgResult conjugate_gradients(const gram::Operator& A, double gamma, const LowRankPreconditioner& M,
                             MatrixView<const double> B, const CgOptions& options) {
  return Run(A, gamma, M, B, options).solve();
}

CgFit fit_by_cg(const gram::Operator& K, const LowRankPreconditioner& M, const RowBlock<double>& Y,
                double ridge, const CgOptions& options) {
  CgFit result = fitted(K, M, Y, ridge, options);
  result.fit.alpha = dist::to_row_block(K.comm(), K.size(), result.solution.X.view());
  return result;
}

CgFit fit_modified_by_cg(const ModifiedOperator& K_g, const LowRankPreconditioner& M,
                         const RowBlock<double>& Y, double ridge, const CgOptions& options) {
  CgFit result = fitted(K_g, M, Y, ridge, options);
  Matrix<double> alpha = result.solution.X.copy();
  K_g.S().apply_columns(K_g.comm(), alpha.view());
  result.fit.alpha = dist::to_row_block(K_g.comm(), K_g.size(), alpha.view());
  return result;
}

}  // namespace mercer::krr
