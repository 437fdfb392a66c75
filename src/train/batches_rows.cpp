#include "batches_rows.hpp"

#include <algorithm>
#include <utility>

#include "mercer/blas/blas.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "sums.hpp"

namespace mercer::train {

template <class T>
RowBatches<T>::RowBatches(Run<T>& run)
    : Batches<T>(run),
      pieces_{run.n(), to_int(ceil_div(run.n(), run.options.batch), "batches an epoch")},
      refresh_(run.options.residual_refresh > 0 ? run.options.residual_refresh : pieces()),
      order_(run.n(), run.options.seed) {
  const Index most = std::min(run.options.batch, set().rows());
  mine_.reserve(static_cast<std::size_t>(most));
  X_ = Matrix<T>(set().X.rows(), most);
  R_ = Matrix<T>(run.outputs(), most);
  difference_ = Matrix<T>(run.outputs(), most);
  all_ = Matrix<T>(run.outputs(), set().rows());
  if (!run.evaluator.keeps_all())
    small_evaluator_ = std::make_unique<net::Evaluator<T>>(run.network, most, run.memory);
  prepare();
}

template <class T>
void RowBatches<T>::prepare() {
  const Index k = set().S.k();
  V_ = Matrix<T>(k, R_.cols());
  small_T_.resize(static_cast<std::size_t>(run_.outputs() * k));
  projection_.resize(static_cast<std::size_t>(run_.outputs() * k));
  small_.reserve(run_.outputs(), k);
  set().S.reserve(run_.outputs());
}

template <class T>
MatrixView<const double> RowBatches<T>::projection() const {
  const Index c = run_.outputs();
  return {run_.state.projection.data(), c, set().S.k(), std::max<Index>(1, c)};
}

template <class T>
Totals RowBatches<T>::evaluate_all() {
  const auto& S = set().S;
  const auto P = small_.P(run_.outputs(), S.k());
  this->forward(set().X.view(), set().Y.view(), all_.view());
  S.project(all_.view(), P);
  Totals totals = small_.reduce(run_, P.rows * S.k(), square_sum(entries<T>(all_.view())));
  totals.weighted += S.excess(P);
  std::copy_n(P.data, projection_.size(), projection_.begin());
  all_evaluated_ = true;
  return totals;
}

template <class T>
void RowBatches<T>::keep_all() {
  auto& state = run_.state;
  if (state.residual.empty()) state.residual.emplace_back(all_.rows(), all_.cols());
  std::copy_n(all_.data(), all_.size(), state.residual[0].data());
  state.projection = projection_;
}

template <class T>
void RowBatches<T>::draw() {
  const Index step = run_.state.step, epoch = step / pieces();
  const int piece = static_cast<int>(step % pieces());
  const auto& order = order_.of(epoch);
  mine_.clear();
  for (Index i = pieces_.begin(piece); i < pieces_.end(piece); ++i) {
    const Index row = order[static_cast<std::size_t>(i)] - set().first;
    if (row >= 0 && row < set().rows()) mine_.push_back(row);
  }
  const auto& V = set().S.vectors();
  for (Index j = 0; j < static_cast<Index>(mine_.size()); ++j) {
    const Index row = mine_[static_cast<std::size_t>(j)];
    std::copy_n(set().X.column(row), X_.rows(), X_.column(j));
    if (V_.rows() > 0) std::copy_n(V.column(row), V_.rows(), V_.column(j));
  }
}

template <class T>
void RowBatches<T>::see() {
  evaluator().outputs(run_.state.w, X(), used(R_));
  Matrix<T>& seen = run_.state.residual[0];
  for (Index j = 0; j < static_cast<Index>(mine_.size()); ++j) {
    const Index row = mine_[static_cast<std::size_t>(j)];
    for (Index a = 0; a < R_.rows(); ++a) {
      R_(a, j) -= set().Y(a, row);
      difference_(a, j) = R_(a, j) - seen(a, row);
      seen(a, row) = R_(a, j);
    }
  }
}

template <class T>
Totals RowBatches<T>::evaluate() {
  auto& state = run_.state;
  const bool all = state.residual.empty() || state.step % refresh_ == 0;
  if (all) {
    evaluate_all();
    keep_all();
  }
  all_evaluated_ = false;
  draw();
  see();
  const Index k = set().S.k();
  const auto P = small_.P(run_.outputs(), k);
  if (k > 0) msk::project_rows<T>(used(difference_), used(V_), small_T_.data(), P);
  Totals totals = small_.reduce(run_, P.rows * k, square_sum(entries<T>(state.residual[0].view())));
  for (std::size_t i = 0; i < state.projection.size(); ++i) state.projection[i] += P.data[i];
  totals.weighted += set().S.excess(projection());
  totals.exact = all;
  return totals;
}

template <class T>
MatrixView<const T> RowBatches<T>::X() const {
  return X_.view().block(0, 0, X_.rows(), static_cast<Index>(mine_.size()));
}

template <class T>
MatrixView<const T> RowBatches<T>::seed() {
  const auto& S = set().S;
  if (!S.identity()) {
    const auto P = projection();
    const MatrixView<T> weighted{small_T_.data(), P.rows, P.cols, P.ld};
    for (Index i = 0; i < P.cols; ++i)
      for (Index a = 0; a < P.rows; ++a)
        weighted(a, i) = static_cast<T>(S.coefficients()[static_cast<std::size_t>(i)] * P(a, i));
    blas::gemm<T>(blas::Trans::no, blas::Trans::no, T{1}, weighted, used(V_), T{1}, used(R_));
  }
  return used(R_);
}

template class RowBatches<double>;
template class RowBatches<float>;

}  // namespace mercer::train
