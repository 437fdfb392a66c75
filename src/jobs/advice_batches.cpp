#include <algorithm>
#include <cmath>
#include <numeric>

#include "advice_model.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/net/empirical.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

double real(Index count) {
  return static_cast<double>(count);
}

double norm(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

/// This rank's entries, row c + output, of f(X; w) - Y.
std::vector<double> residual(const net::Network& network, const std::vector<double>& w,
                             const RowBlock<double>& X, const RowBlock<double>& Y) {
  const auto& comm = X.comm();
  auto F = net::outputs(network, w, X);
  for (std::size_t i = 0; i < F.values().size(); ++i) F.values()[i] -= Y.values()[i];
  const dist::RowPartition part{F.rows() * network.outputs(), comm.size()};
  const auto all = dist::all_rows(F);  // s c numbers
  const double* own = all.data() + part.begin(comm.rank());
  return {own, own + part.size(comm.rank())};
}

/// The eigenvalues of K_0 S, and what S leaves.
msk::Cut modified(const std::vector<double>& lambda, const std::string& g, Index k) {
  const auto options = msk::cut_options<double>(k, static_cast<Index>(lambda.size()),
                                                msk::SpectrumMap::Positivity::positive);
  return msk::cut_spectrum(msk::SpectrumMap::parse(g), lambda, lambda.back(), {}, options);
}

}  // namespace

template <class T>
BatchModel<T>::BatchModel(const TrainingOptions& options, const net::Network& network,
                          const gram::Source& kernel, const data::Dataset& train,
                          std::span<const T> w_0, const dist::ProcessGrid& grid, Monitor& monitor)
    : options_(options),
      comm_(grid.all()),
      size_(size_of_model(options, train.rows(), network.outputs())),
      n_(train.rows()) {
  const auto [s, N, full] = size_;
  const auto wanted = train::sample_rows(n_, s, options.descent.seed).rows;
  const auto X = train::select_rows(train.inputs, wanted);
  const auto seeded = full ? net::seeded_rows(X, network.outputs()) : RowBlock<double>();
  const auto K_0 = kernel_of_model<T>(options, network, kernel, w_0);
  const Index nb = spectral::recommended_block(N, grid.shape());
  const auto& rows = full ? seeded : X;
  auto K = monitor.phase("assemble", [&] {
    return gram::assemble<double>(K_0, rows, grid, {.nb = nb, .progress = monitor.shares()});
  });
  const auto pairs = monitor.phase(
      "eigensolve", [&] { return spectral::by_rows(spectral::eigenpairs(std::move(K))); });
  // K is divided by N, K_0 by s.
  for (const double lambda : pairs.values)
    lambda_.push_back(std::max(0.0, lambda) * real(N) / real(s));
  const auto all = modified(lambda_, options.g, N);
  rank_ = all.k - all.spectrum.left_out;
  V_ = comm::together(comm_, [&] {
    Matrix<double> V(pairs.vectors.cols(), pairs.vectors.rows());
    for (Index j = 0; j < V.cols(); ++j)
      for (Index i = 0; i < V.rows(); ++i) V(i, j) = pairs.vectors(j, i);
    return V;
  });
  const auto r_0 =
      residual(network, {w_0.begin(), w_0.end()}, X, train::select_rows(train.targets, wanted));
  along_.assign(at(N), 0.0);
  if (!r_0.empty()) blas::gemv<double>(blas::Trans::no, 1.0, V_.view(), r_0, 0.0, along_);
  comm_.all_reduce(std::span<double>(along_), comm::Op::sum);
  const double mean = norm(along_) / std::sqrt(real(s * network.outputs()));
  const auto& o = options.descent;
  target_ = std::max(o.tolerance, o.loss > 0 && mean > 0 ? std::sqrt(o.loss) / mean : 0);
}

template <class T>
void BatchModel<T>::predict(AdvisedTop& top) const {
  const auto& o = options_.descent;
  auto gamma = lambda_;
  top.spread = 1;
  if (top.k > 0) {
    auto spectrum = modified(lambda_, options_.g, top.k).spectrum;
    gamma = std::move(spectrum.g);
    top.spread = *std::ranges::max_element(gamma) / spectrum.next;
  }
  const Index B = ceil_div(n_, o.pieces(n_));
  top.rate = o.rate > 0 ? o.rate : o.safety * bound(gamma).rate(B);
  const Index steps =
      size_.s == n_ ? steps_one_by_one(top.rate, gamma) : steps_of_mean(top.rate, gamma);
  top.reached = steps >= 0;
  top.steps = top.reached ? steps : o.steps;
}

/// From all pairs: j.(P j) = s sum_i g_i v_ei^2 of entry e. Collective.
template <class T>
train::BatchBound BatchModel<T>::bound(const std::vector<double>& gamma) const {
  double beta = 0;
  for (Index e = 0; e < V_.cols(); ++e) {
    double sum = 0;
    for (std::size_t i = 0; i < gamma.size(); ++i)
      sum += gamma[i] * std::pow(V_(static_cast<Index>(i), e), 2);
    beta = std::max(beta, real(size_.s) * sum);
  }
  return {comm_.all_reduce(beta, comm::Op::max), *std::ranges::max_element(gamma)};
}

/// The batches of the training: a <- a - eta s g o (V_B^T r_B), r_B = V_B a; it stops where its
/// stale residual and that of all rows are small enough. Returns -1 where that takes more than
/// options.steps. Collective.
template <class T>
Index BatchModel<T>::steps_one_by_one(double rate, const std::vector<double>& gamma) const {
  const auto& options = options_.descent;
  const Index c = size_.N / size_.s, local = V_.cols();
  const Index first = dist::RowPartition{size_.N, comm_.size()}.begin(comm_.rank());
  const dist::RowPartition pieces{size_.s, to_int(options.pieces(size_.s), "batches an epoch")};
  const double first_norm = norm(along_);
  auto a = along_;
  std::vector<double> stale(at(local)), change(at(size_.N) + 1);
  std::vector<Index> order(at(size_.s));
  const auto small = [&](double square) { return std::sqrt(square) <= target_ * first_norm; };
  for (Index t = 0; t <= options.steps; ++t) {
    const int piece = static_cast<int>(t % pieces.nprocs);
    if (piece == 0) {
      train::random_order(order, Random(options.seed, Stream::batches),
                          static_cast<std::uint64_t>(t / pieces.nprocs * size_.s));
      blas::gemv<double>(blas::Trans::yes, 1.0, V_.view(), a, 0.0, stale);
    }
    std::ranges::fill(change, 0.0);
    for (Index i = pieces.begin(piece); i < pieces.end(piece); ++i)
      for (Index e = order[at(i)] * c - first; e < (order[at(i)] + 1) * c - first; ++e) {
        if (e < 0 || e >= local) continue;
        const double* v = V_.column(e);
        stale[at(e)] = std::inner_product(a.begin(), a.end(), v, 0.0);
        for (std::size_t j = 0; j < a.size(); ++j) change[j] += stale[at(e)] * v[j];
      }
    change.back() = std::inner_product(stale.begin(), stale.end(), stale.begin(), 0.0);
    comm_.all_reduce(std::span<double>(change), comm::Op::sum);
    const double exact = std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
    if (small(change.back()) && small(exact)) return t;
    if (!(exact < 1e12 * first_norm * first_norm)) return -1;
    for (std::size_t j = 0; j < a.size(); ++j) a[j] -= rate * real(size_.s) * gamma[j] * change[j];
  }
  return -1;
}

/// Their mean: 1 - eta B g_i a step for each mode. The least t at which |r_t|/|r_0| <= target, or
/// -1 where that is more than options.steps. Local.
template <class T>
Index BatchModel<T>::steps_of_mean(double rate, const std::vector<double>& gamma) const {
  const Index B = ceil_div(n_, options_.descent.pieces(n_));
  const double allowed = std::pow(target_ * norm(along_), 2);
  const auto reached = [&](Index t) {
    double sum = 0;
    for (std::size_t i = 0; i < gamma.size(); ++i)
      sum +=
          std::pow(along_[i], 2) * std::pow(std::abs(1 - rate * real(B) * gamma[i]), 2 * real(t));
    return sum <= allowed;
  };
  Index low = 0, high = options_.descent.steps;
  if (!reached(high)) return -1;
  while (low < high) {  // reached at `high`
    const Index middle = (low + high) / 2;
    if (reached(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return high;
}

template class BatchModel<double>;
template class BatchModel<float>;

}  // namespace mercer::jobs
