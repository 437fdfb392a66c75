#include "shared/train_preconditioner.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/ridge_fit.hpp"

namespace mercer::drivers {

using dist::RowBlock;

gram::Source training_kernel(const TrainJob& job, const gram::Source& analytic,
                             const net::Network& network, std::vector<double> w) {
  if (!job.empirical()) return analytic;
  return gram::Source::function(net::empirical_kernel(network, std::move(w)));
}

template <class T>
Preconditioning<T>::Preconditioning(const TrainJob& job, const net::Network& network,
                                    const gram::Source& kernel, const data::Dataset& train,
                                    Session& session)
    : job_(job), network_(network), kernel_(kernel), train_(train), session_(session) {
  if (!job.blocks()) return;
  for (const auto& block : train::random_blocks(train.rows(), job.options.batch, job.common.seed))
    blocks_.push_back(train::select_rows(train.inputs, block));
}

template <class T>
std::vector<train::RowSet<T>> Preconditioning<T>::rows() const {
  std::vector<train::RowSet<T>> sets;
  if (!job_.blocks()) {
    sets.push_back(train::row_set<T>(train_.inputs, train_.targets));
    return sets;
  }
  const auto blocks = train::random_blocks(train_.rows(), job_.options.batch, job_.common.seed);
  for (std::size_t b = 0; b < blocks.size(); ++b)
    sets.push_back(train::row_set<T>(blocks_[b], train::select_rows(train_.targets, blocks[b])));
  return sets;
}

template <class T>
void Preconditioning<T>::prepare(std::vector<train::RowSet<T>>& sets, bool with_S,
                                 std::span<const T> w_0) {
  const Index traced = job_.directions.empty() ? 0 : job_.directions.back();
  const bool of_operator = job_.operator_spectrum && job_.preconditioned();
  if (job_.operator_spectrum && !of_operator) measure_operator(nullptr, {}, w_0);
  with_S = with_S && job_.preconditioned();
  if (!with_S && traced == 0 && !of_operator) return;
  for (std::size_t b = 0; b < sets.size(); ++b) {
    const Index n = sets[b].n;
    const Index k = !job_.preconditioned() ? traced
                    : job_.top < 0         ? n
                                           : std::min(n, std::max(job_.top, traced));
    const auto [pairs, cut] = eigenpairs(kernel_, inputs(b), k);
    const auto& spectrum = cut.spectrum;
    note_bound(spectrum, n);
    if (job_.preconditioned() && b == 0)
      say_cut(session_, msk::SpectrumMap::parse(job_.g), cut, n,
              sets.size() > 1 ? " of each block" : "");
    if (b > 0)
      for (const auto& line : cut.notes()) session_.say("g       block {}: {}", b + 1, line);
    if (of_operator) measure_operator(&pairs, spectrum, w_0);
    if (with_S) sets[b].S = train::RowPreconditioner<T>(pairs, spectrum);
    if (traced > 0) {
      auto ratio = spectrum.ratio();  // of K as it is: 1
      for (double& s : ratio) s *= jacobian_scale();
      directions_ = train::Directions<T>(pairs, job_.directions, ratio);
    }
  }
}

template <class T>
train::RowPreconditioner<T> Preconditioning<T>::again(std::size_t set, std::span<const T> w) {
  const auto kernel = training_kernel(job_, kernel_, network_, {w.begin(), w.end()});
  const auto& X = inputs(set);
  const auto [pairs, cut] =
      eigenpairs(kernel, X, job_.top < 0 ? X.rows() : std::min(job_.top, X.rows()));
  return train::RowPreconditioner<T>(pairs, cut.spectrum);
}

template <class T>
msk::CutPairs<spectral::Eigenpairs<double>> Preconditioning<T>::eigenpairs(
    const gram::Source& kernel, const RowBlock<double>& X, Index k) {
  using Pairs = spectral::Eigenpairs<double>;
  using Positivity = msk::SpectrumMap::Positivity;
  const auto& grid = session_.grid();
  const Index n = X.rows();
  const Index nb =
      job_.common.nb > 0 ? job_.common.nb : spectral::recommended_block(n, grid.shape());
  const bool with_S = job_.preconditioned();
  const auto g = msk::SpectrumMap::parse(with_S ? job_.g : "identity");
  const auto options =
      msk::cut_options<double>(!with_S        ? k
                               : job_.top < 0 ? n
                                              : std::min(job_.top, n),
                               n, with_S ? Positivity::positive : Positivity::nonnegative);
  if (!job_.spectrum.empty()) {
    auto stored = session_.phase("load", [&] {
      return spectral::read<double>(
          dist::Hdf5File::open(session_.comm(), job_.spectrum, dist::Origin::mercer),
          {kernel.text(), n, train_.hash}, grid, nb);
    });
    if (stored.k() < k)
      throw InputError("--spectrum {}: holds {} eigenpairs, but {} are needed: give --top {}",
                       job_.spectrum, stored.k(), k, stored.k());
    const msk::SolveOptions how{.most = stored.k(),
                                .where = fmt::format("--spectrum {} holds no more", job_.spectrum)};
    return msk::solve_and_cut<Pairs>(
        g, options, how, [&](Index, double, const Pairs*) { return std::move(stored); });
  }
  const auto method = spectral::parse_method(job_.solver);
  const msk::SolveOptions how{
      .pairs = k,
      .tolerance = method == spectral::Method::krylov ? spectral::Options{}.krylov_tolerance : 0};
  return msk::solve_and_cut<Pairs>(g, options, how, [&](Index top, double tolerance, const Pairs*) {
    auto K = session_.long_phase("assemble", [&](auto progress) {
      return gram::assemble<double>(kernel, X, grid, {.nb = nb, .progress = progress});
    });
    spectral::Options solve{.top = top, .method = method, .seed = job_.common.seed};
    if (tolerance > 0) solve.krylov_tolerance = tolerance;
    return session_.phase("eigensolve", [&] { return spectral::eigenpairs(std::move(K), solve); });
  });
}

/// S^(1/2) K_0 S^(1/2) has the eigenvalues of K_0 S; S^(1/2) is the S of sqrt(g(lambda)/lambda).
template <class T>
void Preconditioning<T>::measure_operator(const spectral::Eigenpairs<double>* pairs,
                                          const msk::ModifiedSpectrum& spectrum,
                                          std::span<const T> w_0) {
  const auto& grid = session_.grid();
  const Index n = train_.rows();
  const Index nb =
      pairs != nullptr ? pairs->vectors.nb() : spectral::recommended_block(n, grid.shape());
  const auto kernel = net::empirical_kernel(network_, {w_0.begin(), w_0.end()});
  auto K = gram::assemble<double>(*kernel, train_.inputs, grid, {.nb = nb});
  if (pairs != nullptr) {
    auto root = spectrum;
    const auto ratio = spectrum.ratio();
    for (std::size_t i = 0; i < ratio.size(); ++i) root.g[i] = root.lambda[i] * std::sqrt(ratio[i]);
    const auto S = msk::Preconditioner<double>(*pairs, root).dense();
    dist::DistMatrix<double> SK(grid, n, n, nb);
    la::gemm(la::Trans::no, la::Trans::no, 1.0, S, K, 0.0, SK);
    la::gemm(la::Trans::no, la::Trans::no, 1.0, SK, S, 0.0, K);
    dist::mirror_lower(K);
  }
  const auto values = spectral::eigenpairs(std::move(K), {.vectors = false}).values;
  operator_ = Extremes{values.back(), values.front()};
}

/// The standard parametrisation's analytic kernel is the limit of (1/m) J J^T, m the width of the
/// last hidden layer.
template <class T>
double Preconditioning<T>::jacobian_scale() const {
  const bool over_width =
      network_.parametrization() == net::Parametrization::standard && !job_.empirical();
  return over_width ? static_cast<double>(network_.layers().back().fan_in) : 1;
}

template <class T>
void Preconditioning<T>::note_bound(const msk::ModifiedSpectrum& spectrum, Index n) {
  const auto& g = spectrum.g;  // eigenvalues of K S; those after the last lie in 0 ... next
  const bool all = static_cast<Index>(g.size()) == n;
  double largest = *std::ranges::max_element(g), smallest = *std::ranges::min_element(g);
  if (!all) {
    largest = std::max(largest, spectrum.next);
    smallest = std::min(smallest, spectrum.next);
  }
  const auto bound = [&](double lambda_min) {
    return 2 / (static_cast<double>(n) * jacobian_scale() * (largest + lambda_min));
  };
  const double from = bound(smallest), to = bound(all ? smallest : 0);
  if (bound_from_ == 0 || from < bound_from_) {
    bound_from_ = from;
    bound_to_ = to;
  }
}

template class Preconditioning<double>;
template class Preconditioning<float>;

KernelChange::KernelChange(const net::Network& network, std::vector<double> w_0,
                           const RowBlock<double>& X, const dist::ProcessGrid& grid, Index nb)
    : network_(network), X_(X), grid_(grid), nb_(nb), K_0_(assemble(std::move(w_0))) {}

dist::DistMatrix<double> KernelChange::assemble(std::vector<double> w) const {
  return gram::assemble<double>(*net::empirical_kernel(network_, std::move(w)), X_, grid_,
                                {.nb = nb_});
}

double KernelChange::measure(std::vector<double> w) const {
  auto K = assemble(std::move(w));
  for (Index j = 0; j < K.local_cols(); ++j)
    for (Index i = 0; i < K.local_rows(); ++i)
      K(LocalIndex{i}, LocalIndex{j}) -= K_0_(LocalIndex{i}, LocalIndex{j});
  return la::frobenius_norm(K) / la::frobenius_norm(K_0_);
}

}  // namespace mercer::drivers
