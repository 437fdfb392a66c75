#include "krylov_run.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mercer/base/random.hpp"
#include "mercer/base/text.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/probes.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::spectral {
namespace {

using blas::gemm;
using blas::Trans;
// A Ritz pair is locked where its residual is at most this share of the tolerance. The couplings of
// locked pairs to the other columns are dropped, and these errors add up.
constexpr double kLock = 0.03;
// After a warm start: the ratio of residual to eigenvalue at which the pair beyond the wanted ones
// counts as located.
constexpr double kLocated = 0.1;

std::span<double> values_of(Matrix<double>& A) {
  return {A.data(), static_cast<std::size_t>(A.size())};
}

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// The columns of Q that are allocated: a basis of the whole space never restarts, and its last
/// product needs room.
Index allocated(Index n, KrylovSizes sizes) {
  return sizes.basis + (sizes.basis == n ? sizes.block : 0);
}

Matrix<double> enlarged(Matrix<double>&& A, Index rows, Index cols) {
  if (A.rows() == rows && A.cols() == cols) return std::move(A);
  Matrix<double> result(rows, cols, 0.0);
  for (Index j = 0; j < std::min(cols, A.cols()); ++j)
    std::copy_n(A.column(j), std::min(rows, A.rows()), result.column(j));
  return result;
}

KrylovState initial_state(const gram::Operator& K, const KrylovOptions& options,
                          KrylovSizes sizes) {
  const Index n = K.size(), rows = K.local_rows(), columns = allocated(n, sizes);
  return comm::together(K.comm(), [&] {
    KrylovState state;
    if (options.resume != nullptr) {
      KrylovState& old = *options.resume;
      state.set_numbers(old.numbers());
      if (old.basis.rows() != rows || old.images.rows() != rows ||
          old.images.cols() != kResidualProbes ||
          old.columns > std::min(columns, old.basis.cols()) ||
          old.columns > std::min(old.projection.rows(), old.projection.cols()) ||
          old.columns > (sizes.basis < n ? sizes.basis : n) || old.locked < 0 ||
          old.locked > std::min(old.multiplied, std::min(options.top + 1, n)) ||
          old.multiplied > old.columns || old.products < 1 ||
          old.columns - old.multiplied > std::max(sizes.block, sizes.basis / 2))
        throw InputError(
            "krylov: the state to resume from belongs to another matrix, number of ranks, block or "
            "basis ({} of {} columns in use)",
            old.columns, old.basis.cols());
      state.basis = enlarged(std::move(old.basis), rows, columns);
      state.projection = enlarged(std::move(old.projection), columns, columns);
      state.images = std::move(old.images);
    } else {
      state.basis = Matrix<double>(rows, columns);
      state.projection = Matrix<double>(columns, columns, 0.0);
      state.images = Matrix<double>(rows, kResidualProbes);
    }
    return state;
  });
}

}  // namespace

KrylovRun::KrylovRun(const gram::Operator& K, const KrylovOptions& options, KrylovSizes sizes)
    : K_(K),
      options_(options),
      sizes_(sizes),
      n_(K.size()),
      target_(std::min(options.top + 1, K.size())),
      state_(initial_state(K, options, sizes)),
      basis_(K, state_.basis.view(), options.seed, state_.drawn) {
  if (options.resume == nullptr) first_block();
}

/// How many start vectors are used: as many as fit the basis twice (with their images), and a
/// restart.
Index KrylovRun::start_columns() const {
  const Index b = sizes_.block;
  const Index room =
      sizes_.basis == n_ ? n_ - b : std::min(sizes_.basis / 2 - b, sizes_.basis - target_ - 3 * b);
  return std::max<Index>(0, std::min(options_.start.cols, room));
}

/// Q(:, 0 ... count - 1) <- the start vectors at unit length; zero vectors stay zero.
void KrylovRun::adopt_start(Index count) {
  std::vector<double> squares(at(count), 0.0);
  for (Index j = 0; j < count; ++j)
    for (Index i = 0; i < options_.start.rows; ++i)
      squares[at(j)] += options_.start(i, j) * options_.start(i, j);
  K_.comm().all_reduce(std::span<double>(squares), comm::Op::sum);
  for (Index j = 0; j < count; ++j) {
    if (!std::isfinite(squares[at(j)]))
      throw InputError("krylov: start vector {} has entries that are not finite", j + 1);
    const double scale = squares[at(j)] > 0 ? 1 / std::sqrt(squares[at(j)]) : 0;
    for (Index i = 0; i < options_.start.rows; ++i)
      state_.basis(i, j) = scale * options_.start(i, j);
  }
}

void KrylovRun::first_block() {
  const Index b = std::min(sizes_.block, n_), start = start_columns();
  adopt_start(start);
  for (Index j = 0; j < b; ++j) basis_.draw(start + j, 1 / std::sqrt(static_cast<double>(n_)));
  constexpr double kDependent = 1e-8;  // directions shorter than this depend on others: replaced
  basis_.orthonormalise(0, start + b, kDependent);
  state_.columns = start + b;
  state_.guard = start > 0 ? 1 : 0;
  state_.next_check = start > 0 ? start + b : target_ + std::max(b, target_ / 2);
}

Matrix<double> KrylovRun::probes() const {
  Matrix<double> W(K_.local_rows(), kResidualProbes);
  const Random random(options_.seed, Stream::probe);
  for (Index j = 0; j < kResidualProbes; ++j)
    for (Index i = 0; i < W.rows(); ++i)
      W(i, j) =
          random.normal(static_cast<std::uint64_t>((K_.first_row() + i) * kResidualProbes + j));
  return W;
}

void KrylovRun::apply(MatrixView<const double> X, MatrixView<double> Y) {
  if (state_.products > 0) return K_.apply(X, Y);
  // The probes are multiplied with the first block: a few more columns cost little more.
  const Index b = X.cols;
  const Matrix<double> W = probes();
  Matrix<double> both(X.rows, b + kResidualProbes), images(X.rows, b + kResidualProbes);
  for (Index j = 0; j < b; ++j) std::copy_n(X.column(j), X.rows, both.column(j));
  for (Index j = 0; j < kResidualProbes; ++j) std::copy_n(W.column(j), X.rows, both.column(b + j));
  K_.apply(both.view(), images.view());
  for (Index j = 0; j < b; ++j) std::copy_n(images.column(j), X.rows, Y.column(j));
  for (Index j = 0; j < kResidualProbes; ++j)
    std::copy_n(images.column(b + j), X.rows, state_.images.column(j));
}

void KrylovRun::multiply() {
  const Index here = state_.multiplied, next = state_.columns, b = next_width();
  Matrix<double>& T = state_.projection;
  apply(basis_.columns(here, b), basis_.columns(next, b));

  // K is symmetric: of the columns before this block, K X has components only along those that are
  // coupled to it.
  Index coupled = here;
  for (Index i = here - 1; i >= 0; --i)
    for (Index j = here; j < here + b; ++j)
      if (T(i, j) != 0) coupled = i;
  const Matrix<double> C = basis_.project(coupled, next, next, b);
  const Index own = here - coupled;
  for (Index j = 0; j < b; ++j) {
    for (Index i = 0; i < b; ++i) T(here + i, here + j) = 0.5 * (C(own + i, j) + C(own + j, i));
    for (Index i = here + b; i < next; ++i) T(i, here + j) = T(here + j, i) = C(i - coupled, j);
  }
  double size = 0;
  for (Index i = 0; i < next; ++i) size = std::max(size, std::abs(T(i, i)));

  // Directions shorter than 1e-14 |K| are zero up to rounding.
  const Matrix<double> B = basis_.orthonormalise(next, b, 1e-14 * size);
  for (Index j = 0; j < b; ++j)
    for (Index i = 0; i < B.rows(); ++i) T(next + i, here + j) = T(here + j, next + i) = B(i, j);
  state_.multiplied = here + b;
  state_.columns = next + B.rows();
  state_.products += b;
}

bool KrylovRun::full() const {
  return sizes_.basis < n_ && state_.columns + next_width() > sizes_.basis;
}

bool KrylovRun::check_due() const {
  if (state_.columns == state_.multiplied || full()) return true;
  const Index least = state_.settled > 0 ? 1 : target_ - state_.locked;
  return active() >= least && state_.products >= state_.next_check;
}

void KrylovRun::rayleigh_ritz() {
  const Index m = active(), p = state_.columns - state_.multiplied, first = state_.locked;
  const auto T = state_.projection.view();
  auto pairs = replicated_eigenpairs(K_.comm(), T.block(first, first, m, m));
  ritz_ = std::move(pairs.vectors);
  values_.assign(pairs.values.rbegin(), pairs.values.rend());
  residuals_.assign(at(m), 0.0);
  comm::together(K_.comm(), [&] {
    if (!K_.comm().root() || p == 0) return;
    Matrix<double> R(p, m);
    gemm<double>(Trans::no, Trans::no, 1, T.block(state_.multiplied, first, p, m), ritz_.view(), 0,
                 R.view());
    for (Index j = 0; j < m; ++j) {
      double square = 0;
      for (Index i = 0; i < p; ++i) square += R(i, m - 1 - j) * R(i, m - 1 - j);
      residuals_[at(j)] = std::sqrt(square);
    }
  });
  K_.comm().broadcast(std::span<double>(residuals_), 0);
  set_needed();

  state_.converged = 0;
  double worst = m >= needed_ ? 0 : 1;
  for (Index i = 0; i < std::min(m, needed_); ++i) {
    const double residual = residuals_[at(i)] / scale();
    worst = std::max(worst, residual);
    if (residual <= options_.tolerance) ++state_.converged;
  }
  // After a warm start the pair beyond the wanted ones must be located too.
  located_ = state_.guard == 0 || state_.settled > 0 || p == 0 ||
             (m > needed_ && residuals_[at(needed_)] <= std::max(kLocated * values_[at(needed_)],
                                                                 options_.tolerance * scale()));
  order_waiting();
  schedule(worst);
}

/// Rotates the waiting columns so that the first ones are coupled most strongly to the wanted pairs
/// that have not converged: the left singular vectors of that coupling.
void KrylovRun::order_waiting() {
  const Index p = waiting(), m = active(), here = state_.multiplied, first = state_.locked;
  if (p <= sizes_.block) return;
  Matrix<double> U(p, p);
  Matrix<double>& T = state_.projection;
  comm::together(K_.comm(), [&] {
    if (!K_.comm().root()) return;
    std::vector<Index> open;
    for (Index i = 0; i < m; ++i) {  // pairs beyond the wanted ones only to fill a block
      if (i >= needed_ + state_.guard && static_cast<Index>(open.size()) >= sizes_.block) break;
      if (!(residuals_[at(i)] <= options_.tolerance * scale())) open.push_back(i);
    }
    Matrix<double> Y(m, static_cast<Index>(open.size())), R(p, Y.cols());
    for (Index j = 0; j < Y.cols(); ++j)
      std::copy_n(ritz_.column(m - 1 - open[at(j)]), m, Y.column(j));
    gemm<double>(Trans::no, Trans::no, 1, T.view().block(here, first, p, m), Y.view(), 0, R.view());
    Matrix<double> G(p, p, 0.0);
    if (R.cols() > 0) gemm<double>(Trans::no, Trans::yes, 1, R.view(), R.view(), 0, G.view());
    blas::syevd(G.view());
    for (Index j = 0; j < p; ++j) std::copy_n(G.column(p - 1 - j), p, U.column(j));
  });
  K_.comm().broadcast(values_of(U), 0);
  basis_.rotate(here, U.view());
  Matrix<double> coupling(p, m);
  gemm<double>(Trans::yes, Trans::no, 1, U.view(), T.view().block(here, first, p, m), 0,
               coupling.view());
  K_.comm().broadcast(values_of(coupling), 0);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < p; ++i) T(here + i, first + j) = T(first + j, here + i) = coupling(i, j);
}

Matrix<double> KrylovRun::combination(Index first, const std::vector<Index>& picks) const {
  const Index m = active(), offset = state_.locked - first;
  Matrix<double> Y(offset + m, static_cast<Index>(picks.size()), 0.0);
  if (K_.comm().root())
    for (Index j = 0; j < Y.cols(); ++j) {
      const Index pick = picks[at(j)];
      if (pick < state_.locked)
        Y(pick - first, j) = 1;
      else
        std::copy_n(ritz_.column(m - 1 - (pick - state_.locked)), m, Y.column(j) + offset);
    }
  K_.comm().broadcast(values_of(Y), 0);
  return Y;
}

void KrylovRun::reset_projection(const std::vector<double>& values,
                                 const Matrix<double>& coupling) {
  Matrix<double>& T = state_.projection;
  std::ranges::fill(values_of(T), 0.0);
  const auto m = static_cast<Index>(values.size());
  for (Index i = 0; i < m; ++i) T(i, i) = values[at(i)];
  for (Index j = 0; j < coupling.cols(); ++j)
    for (Index i = 0; i < coupling.rows(); ++i) {
      const Index column = m - coupling.cols() + j;
      T(m + i, column) = T(column, m + i) = coupling(i, j);
    }
}

void KrylovRun::restart() {
  const Index m = active(), first = state_.locked, p = waiting();
  const double locked_below = kLock * options_.tolerance * scale();
  const Index room = sizes_.basis - first - p - next_width();
  const Index kept = std::min(m, needed_ + 3 * std::max<Index>(0, room - needed_) / 5);
  std::vector<Index> picks, others;
  for (Index i = 0; i < kept; ++i)
    (i < needed_ && residuals_[at(i)] <= locked_below ? picks : others).push_back(first + i);
  const auto locked = static_cast<Index>(picks.size());
  picks.insert(picks.end(), others.begin(), others.end());

  const Matrix<double> Y = combination(first, picks);
  Matrix<double> coupling(p, static_cast<Index>(others.size()), 0.0);
  if (coupling.size() > 0)
    gemm<double>(Trans::no, Trans::no, 1,
                 state_.projection.view().block(state_.multiplied, first, p, m),
                 Y.view().block(0, locked, m, coupling.cols()), 0, coupling.view());
  K_.comm().broadcast(values_of(coupling), 0);
  std::vector<double> values;
  for (Index i = 0; i < first; ++i) values.push_back(value_of(i));
  for (const Index pick : picks) values.push_back(value_of(pick));

  basis_.rotate(first, Y.view());
  for (Index j = 0; j < p; ++j) {
    const auto from = basis_.columns(state_.multiplied + j, 1),
               to = basis_.columns(first + kept + j, 1);
    std::copy_n(from.data, from.rows, to.data);
  }
  reset_projection(values, coupling);
  state_.locked = first + locked;
  state_.multiplied = first + kept;
  state_.columns = state_.multiplied + p;
  ++state_.restarts;
}

std::vector<double> KrylovRun::collect() {
  const auto picks = best(target_);
  std::vector<double> values;
  for (const Index pick : picks) values.push_back(value_of(pick));
  basis_.rotate(0, combination(0, picks).view());
  return values;
}

void KrylovRun::start_beside() {
  const auto values = collect();
  reset_projection(values, {});
  const Index b = std::min(sizes_.block, n_ - target_);
  for (Index j = 0; j < b; ++j) basis_.draw(target_ + j, 1 / std::sqrt(static_cast<double>(n_)));
  basis_.orthonormalise(target_, b, 0);
  state_.locked = state_.settled = state_.multiplied = target_;
  state_.columns = target_ + b;
  state_.converged = 0;
  state_.checked = state_.products;
  state_.checked_residual = 1;
  state_.next_check = state_.products + 3 * b;
  ++state_.restarts;
  values_.clear();
}

std::vector<double> KrylovRun::probe_residuals(std::span<const double> values) const {
  const auto V = vectors(static_cast<Index>(values.size()));
  const Matrix<double> KWV = inner(K_.comm(), state_.images.view(), V);
  const Matrix<double> WV = inner(K_.comm(), probes().view(), V);
  std::vector<double> residuals(values.size());
  for (Index j = 0; j < V.cols; ++j) {
    double square = 0;
    for (Index i = 0; i < kResidualProbes; ++i) {
      const double r = KWV(i, j) - values[at(j)] * WV(i, j);
      square += r * r;
    }
    residuals[at(j)] = std::sqrt(square / kResidualProbes);
  }
  return residuals;
}

std::string KrylovRun::text() const {
  return fmt::format("{}, {}: {} of {}, largest residual {:.1e} lambda_1",
                     counted(state_.products, "product"), counted(state_.restarts, "restart"),
                     std::min(target_, state_.locked - state_.settled + state_.converged),
                     counted(target_, "pair"), state_.checked_residual);
}

}  // namespace mercer::spectral
