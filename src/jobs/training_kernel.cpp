#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/spectral/norm.hpp"
#include "training_observers.hpp"

namespace mercer::jobs {

using dist::DistMatrix;

namespace {

/// A += factor B, of the same shape and distribution.
void add(DistMatrix<double>& A, double factor, const DistMatrix<double>& B) {
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i)
      A(LocalIndex{i}, LocalIndex{j}) += factor * B(LocalIndex{i}, LocalIndex{j});
}

void scale(DistMatrix<double>& A, double factor) {
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i) A(LocalIndex{i}, LocalIndex{j}) *= factor;
}

double sum(const std::vector<double>& x) {
  double total = 0;
  for (const double value : x) total += value;
  return total;
}

/// |D S|_F of S = I + V diag(s - 1) V^T: |D|_F^2 + sum (s_i^2 - 1) |D v_i|^2.
double norm_with_S(const DistMatrix<double>& D, const GridS& S) {
  DistMatrix<double> DV(D.grid(), S.V.rows(), S.V.cols(), S.V.nb());
  la::gemm(blas::Trans::no, blas::Trans::no, 1.0, D, S.V, 0.0, DV);
  const auto squares = la::column_dots(DV, DV);
  const double whole = la::frobenius_norm(D);
  double total = whole * whole;
  for (std::size_t i = 0; i < S.s.size(); ++i) total += (S.s[i] * S.s[i] - 1) * squares[i];
  return std::sqrt(std::max(0.0, total));
}

}  // namespace

Limit limit_of(const net::Network& network) {
  Limit limit;
  try {
    limit.kernel = kernel::make({.kind = kernel::Kind::ntk,
                                 .architecture = network.architecture(),
                                 .parametrization = network.parametrization()});
  } catch (const InputError& error) {  // the architecture has no such limit
    limit.lacks = error.what();
  }
  // Of the standard parametrisation it is that of J J^T over the width.
  if (network.parametrization() == net::Parametrization::standard)
    limit.scale = static_cast<double>(network.layers().back().fan_in);
  return limit;
}

KernelObserver::KernelObserver(const TrainingPlan& plan, const net::Network& network,
                               std::vector<double> w_0, const data::Dataset& train,
                               const dist::ProcessGrid& grid, const GridS* S)
    : plan_(plan),
      network_(network),
      train_(train),
      grid_(grid),
      S_(S),
      nb_(plan.nb_asked > 0 ? plan.nb_asked
                            : spectral::recommended_block(train.rows(), grid.shape())),
      drift_(plan.options.track.kernel || plan.options.trace_kernel) {
  const auto& track = plan.options.track;
  if (track.minimum && network.outputs() > 1)
    seeded_ = net::seeded_rows(train.inputs, network.outputs());
  if (track.alignment) {
    Y_.emplace(grid, train.rows(), train.outputs(), nb_);
    dist::copy(train.targets, *Y_);
  }
  if (drift_) K_0_ = assemble(w_0);
  if (track.kernel || track.minimum) note_start();
}

DistMatrix<double> KernelObserver::assemble(std::vector<double> w) {
  ++assembled_;
  auto K = gram::assemble<double>(*net::empirical_kernel(network_, std::move(w)), train_.inputs,
                                  grid_, {.nb = nb_});
  release_freed_memory();  // of the panels, once for each record: the heap would keep it
  return K;
}

double KernelObserver::norm(const DistMatrix<double>& A) const {
  return spectral::operator_norm(gram::MatrixOperator<double>(A), {.seed = plan_.seed});
}

/// K_0 against K_inf, which is assembled for this.
void KernelObserver::note_start() {
  const auto& track = plan_.options.track;
  if (track.kernel) {
    start_.frobenius = la::frobenius_norm(*K_0_);
    start_.operator_norm = norm(*K_0_);
  }
  const auto limit = limit_of(network_);
  if (limit.kernel == nullptr) return;
  auto K = gram::assemble<double>(*limit.kernel, train_.inputs, grid_, {.nb = nb_});
  scale(K, limit.scale);
  if (track.kernel) {
    start_.limit_frobenius = la::frobenius_norm(K);
    start_.limit_operator = norm(K);
    add(K, -1, *K_0_);
    start_.distance_frobenius = la::frobenius_norm(K);
    start_.distance_operator = norm(K);
    if (track.minimum) add(K, 1, *K_0_);
  }
  if (!track.minimum) return;
  start_.limit_smallest = spectral::eigenpairs(std::move(K), {.vectors = false}).values.back();
}

void KernelObserver::complete(std::vector<double> w, train::Record& record) {
  const auto& track = plan_.options.track;
  if (track.any()) record.tracked.assign(kTrackedNumbers, KernelStart::kUnknown);
  const bool several = network_.outputs() > 1;
  std::optional<DistMatrix<double>> K;
  if (drift_ || track.alignment || !several) K = assemble(w);
  if (track.alignment) record.tracked[kAlignment] = alignment(*K);
  if (drift_) measure_drift(*K, record);
  if (!track.minimum) return;
  if (several) K.reset();
  measure_eigenvalues(std::move(w), std::move(K), record);
}

/// Leaves K_t - K_0 in K, or with Track::minimum K_t to rounding.
void KernelObserver::measure_drift(DistMatrix<double>& K, train::Record& record) const {
  const auto& track = plan_.options.track;
  add(K, -1, *K_0_);
  const double frobenius = la::frobenius_norm(K);
  if (plan_.options.trace_kernel) record.kernel_change = frobenius / la::frobenius_norm(*K_0_);
  if (track.kernel) {
    record.tracked[kDriftFrobenius] = frobenius;
    record.tracked[kDriftOperator] = norm(K);
    if (S_ != nullptr) record.tracked[kDriftS] = norm_with_S(K, *S_);
    if (!plan_.options.preconditioned()) record.tracked[kDriftS] = frobenius;
  }
  if (track.minimum) add(K, 1, *K_0_);
}

/// `K`: K_t, which is destroyed; empty: that of rows and outputs is assembled.
void KernelObserver::measure_eigenvalues(std::vector<double> w, std::optional<DistMatrix<double>> K,
                                         train::Record& record) {
  double factor = 1;
  if (!K.has_value()) {
    ++assembled_;
    const auto kernel = net::empirical_kernel(network_, std::move(w), net::Outputs::full);
    K = gram::assemble<double>(*kernel, seeded_, grid_,
                               {.nb = spectral::recommended_block(seeded_.rows(), grid_.shape())});
    factor = static_cast<double>(network_.outputs());  // that is divided by n c
  }
  const auto values = spectral::eigenpairs(std::move(*K), {.vectors = false}).values;
  release_freed_memory();
  record.tracked[kSmallest] = factor * values.back();
  record.tracked[kLargest] = factor * values.front();
}

double KernelObserver::alignment(const DistMatrix<double>& K) const {
  const DistMatrix<double>& Y = *Y_;
  DistMatrix<double> KY(grid_, Y.rows(), Y.cols(), nb_), YY(grid_, Y.cols(), Y.cols(), nb_);
  la::symm(1.0, K, Y, 0.0, KY);
  la::gemm(blas::Trans::yes, blas::Trans::no, 1.0, Y, Y, 0.0, YY);
  return sum(la::column_dots(Y, KY)) / (la::frobenius_norm(K) * la::frobenius_norm(YY));
}

}  // namespace mercer::jobs
