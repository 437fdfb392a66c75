#include "advice_model.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/train/linear_model.hpp"
#include "mercer/train/rate.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

double real(Index count) {
  return static_cast<double>(count);
}

msk::Cut cut_at(Index k, const std::string& g, const spectral::TopPairs& pairs) {
  const auto options = msk::cut_options<double>(k, pairs.n, msk::SpectrumMap::Positivity::positive);
  return msk::cut_spectrum(msk::SpectrumMap::parse(g), pairs.values, pairs.next, pairs.residuals,
                           options);
}

}  // namespace

template <class T>
FullModel<T>::FullModel(const TrainingOptions& options, const net::Network& network,
                        const gram::Source& kernel, const data::Dataset& train,
                        std::span<const T> w_0, double activation_bytes,
                        const dist::ProcessGrid& grid, Monitor& monitor)
    : options_(options), comm_(grid.all()), w_0_(w_0), n_(train.rows()) {
  const Index s = size_of_model(options, n_, network.outputs()).s;
  const auto wanted = train::sample_rows(n_, s, options.descent.seed).rows;
  const auto X = train::select_rows(train.inputs, wanted);
  rows_ = train::row_set<T>(X, train::select_rows(train.targets, wanted));
  const auto of_S = kernel_of_model<T>(options, network, kernel, w_0);
  const Index nb = spectral::recommended_block(s, grid.shape());
  auto K = monitor.phase("assemble", [&] {
    return gram::assemble<double>(of_S, X, grid, {.nb = nb, .progress = monitor.shares()});
  });
  pairs_ = monitor.phase("eigensolve",
                         [&] { return spectral::by_rows(spectral::eigenpairs(std::move(K))); });
  const auto all = cut_at(s, options.g, pairs_);
  rank_ = all.k - all.spectrum.left_out;
  comm::together(comm_, [&] { evaluator_.emplace(network, rows_.rows(), activation_bytes); });
}

template <class T>
void FullModel<T>::predict(AdvisedTop& top) {
  const auto& o = options_.descent;
  rows_.S = {};
  double next = 0;
  if (top.k > 0) {
    const auto cut = cut_at(top.k, options_.g, pairs_);
    next = cut.spectrum.next;
    rows_.S = comm::together(comm_, [&] { return msk::Preconditioner<T>(pairs_, cut.spectrum); });
  }
  // J J^T of the s rows is s K_0.
  const double largest =
      train::largest_eigenvalue<T>(comm_, *evaluator_, w_0_, rows_, o.seed).lambda_max /
      real(rows_.n);
  top.spread = top.k > 0 ? largest / next : 1;
  top.rate = o.rate > 0 ? o.rate : o.safety / (real(n_) * largest);
  const double of_sample = top.rate * real(n_) / real(rows_.n);
  const auto found = train::linear_steps<T>(comm_, *evaluator_, w_0_, rows_, of_sample, o);
  top.steps = found.steps;
  top.reached = found.reached;
}

template class FullModel<double>;
template class FullModel<float>;

}  // namespace mercer::jobs
