#include <algorithm>
#include <cmath>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/msk/modified_kernel.hpp"
#include "mercer/net/empirical.hpp"
#include "row_identity.hpp"
#include "training_observers.hpp"

namespace mercer::jobs {

using dist::RowBlock;

Index kernel_columns(const TrainingOptions& options, const net::Network& network) {
  const bool full = options.on_parameters() || options.joint_outputs;
  return network.inputs() + (full && network.outputs() > 1 ? network.outputs() : 0);
}

template <class T>
gram::Source training_kernel(const TrainingOptions& options, const gram::Source& kernel,
                             const net::Network& network, std::span<const T> w) {
  if (options.precondition != Precondition::empirical) return kernel;
  const bool full = kernel_columns(options, network) > network.inputs();
  auto own = gram::Source::function(net::empirical_kernel(
      network, {w.begin(), w.end()}, full ? net::Outputs::full : net::Outputs::trace));
  return kernel.text() == own.text() ? kernel : own;  // the same w need not be there twice
}

namespace {

/// The spaces with all members of equal eigenvalues, those that then touch as one.
std::vector<spectral::Space> whole_spaces(const std::vector<spectral::Space>& asked,
                                          const spectral::TopPairs& pairs) {
  double residual = 0;
  for (const double r : pairs.residuals) residual = std::max(residual, r);
  const auto equal =
      spectral::spaces(pairs.values, std::max(msk::kModeTolerance<double>, 4 * residual));
  std::vector<spectral::Space> whole;
  for (const auto& space : asked) {
    Index first = space.first, end = space.first + space.size;
    for (const auto& e : equal) {
      if (e.first < end && first < e.first + e.size) {
        first = std::min(first, e.first);
        end = std::max(end, e.first + e.size);
      }
    }
    if (!whole.empty() && first < whole.back().first + whole.back().size) {
      first = whole.back().first;
      whole.pop_back();
    }
    whole.push_back({.first = first, .size = end - first});
  }
  return whole;
}

}  // namespace

template <class T>
TrainingPairs<T>::TrainingPairs(const TrainingPlan& plan, const net::Network& network,
                                const data::Split& sets, const dist::ProcessGrid& grid,
                                Monitor& monitor)
    : plan_(plan),
      options_(plan.options),
      network_(network),
      train_(sets.train),
      test_(sets.test.has_value() ? &*sets.test : nullptr),
      grid_(grid),
      monitor_(monitor) {
  if (plan.sample > 0) {
    const auto sample = train::sample_rows(train_.rows(), plan.sample, plan.seed);
    sample_ = train::select_rows(train_.inputs, sample.rows);
    others_ = train::select_rows(train_.inputs, sample.others);
  }
  if (joint()) seeded_ = net::seeded_rows(train_.inputs, network.outputs());
  if (!options_.blocks()) return;
  for (const auto& block : train::random_blocks(train_.rows(), options_.descent.batch, plan.seed))
    blocks_.push_back(train::select_rows(train_.inputs, block));
}

template <class T>
std::vector<train::RowSet<T>> TrainingPairs<T>::rows() const {
  std::vector<train::RowSet<T>> sets;
  if (!options_.blocks()) {
    sets.push_back(train::row_set<T>(train_.inputs, train_.targets));
    sets[0].joint = joint();
    return sets;
  }
  const auto blocks = train::random_blocks(train_.rows(), options_.descent.batch, plan_.seed);
  for (std::size_t b = 0; b < blocks.size(); ++b)
    sets.push_back(train::row_set<T>(blocks_[b], train::select_rows(train_.targets, blocks[b])));
  return sets;
}

template <class T>
void TrainingPairs<T>::add_to(train::Hooks<T>& hooks) {
  if (options_.descent.refresh > 0)
    hooks.preconditioner = [this](train::RowSet<T>& set, std::size_t number, std::span<const T> w) {
      renew(set, number, w);
    };
  if (options_.new_blocks)
    hooks.blocks = [this](std::vector<train::RowSet<T>>& sets, Index epoch, std::span<const T> w) {
      draw_blocks(sets, epoch, w);
    };
}

template <class T>
void TrainingPairs<T>::draw_blocks(std::vector<train::RowSet<T>>& sets, Index epoch) {
  const auto blocks =
      train::random_blocks(train_.rows(), options_.descent.batch, plan_.seed, epoch);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    blocks_[b] = train::select_rows(train_.inputs, blocks[b]);
    auto S = std::move(sets[b].S);
    sets[b] = train::row_set<T>(blocks_[b], train::select_rows(train_.targets, blocks[b]));
    sets[b].S = std::move(S);
  }
}

template <class T>
void TrainingPairs<T>::draw_blocks(std::vector<train::RowSet<T>>& sets, Index epoch,
                                   std::span<const T> w) {
  draw_blocks(sets, epoch);
  const bool at_w = options_.descent.refresh > 0;
  const auto kernel = at_w ? training_kernel<T>(options_, plan_.kernel, network_, w) : plan_.kernel;
  for (std::size_t b = 0; b < sets.size(); ++b) {
    const Index n = blocks_[b].rows();
    sets[b].S =
        on_residuals(pairs(kernel, blocks_[b], options_.top < 0 ? n : std::min(options_.top, n)));
  }
}

template <class T>
void TrainingPairs<T>::prepare(std::vector<train::RowSet<T>>& sets, bool with_S,
                               std::span<const T> w_0, Training<T>& training) {
  const Index traced = row_sets(plan_, train_.rows(), network_.outputs()).traced;
  const bool S_asked = options_.preconditioned();
  const bool compares_S = S_asked && options_.track.kernel && !options_.blocks() && !joint() &&
                          options_.descent.refresh == 0;
  const bool of_operator = options_.operator_spectrum && S_asked;
  if (options_.operator_spectrum && !of_operator)
    training.operator_spectrum = operator_spectrum(nullptr, {}, w_0);
  if (with_S && plan_.sample > 0) sets[0].P = on_parameters(w_0, true);
  with_S = with_S && S_asked;
  if (options_.on_parameters() || (!with_S && traced == 0 && !of_operator && !compares_S)) return;
  if (!plan_.tangent)
    monitor_.log(
        "theory",
        fmt::format("{} is not the tangent kernel of this network, nor its limit: there is "
                    "no prediction of |v_i^T r| and of the rate",
                    plan_.kernel.text()));
  if (traced > 0 && (options_.descent.momentum > 0 || options_.descent.weight_decay > 0))
    monitor_.log("theory", "there is no prediction of |v_i^T r| with momentum or weight decay");
  for (std::size_t b = 0; b < sets.size(); ++b) {
    const Index n = inputs(b).rows();
    const Index k = !S_asked           ? traced
                    : options_.top < 0 ? n
                                       : std::min(n, std::max(options_.top, traced));
    const auto solved = pairs(plan_.kernel, inputs(b), k);
    const auto& found = solved.pairs;
    const auto& cut = solved.cut;
    const auto& spectrum = cut.spectrum;
    if (plan_.tangent) note_bound(spectrum, n, training);
    if (S_asked && b == 0)
      report_cut(monitor_, msk::SpectrumMap::parse(options_.g), cut, n,
                 sets.size() > 1 ? " of each block" : "");
    if (b > 0)
      for (const auto& line : cut.notes())
        monitor_.log("g", fmt::format("block {}: {}", b + 1, line));
    if (of_operator) training.operator_spectrum = operator_spectrum(&found, spectrum, w_0);
    if (with_S) sets[b].S = on_residuals(solved);
    if (traced > 0) prepare_directions(solved);
    if (!options_.eigenfunctions.empty()) prepare_functions(solved, w_0);
    if (compares_S) prepare_grid_S(solved);
  }
}

/// S by rows of the data set; where it is of all outputs together, the vectors of rows and outputs
/// are redistributed once.
template <class T>
msk::Preconditioner<T> TrainingPairs<T>::on_residuals(const Pairs& solved) const {
  const auto& comm = grid_.all();
  const auto& [found, cut] = solved;
  if (!joint())
    return comm::together(
        comm, [&found = found, &cut = cut] { return msk::Preconditioner<T>(found, cut.spectrum); });
  const Index c = network_.outputs(), first = c * train_.inputs.first_row();
  std::vector<Index> entries(static_cast<std::size_t>(c * train_.inputs.local_rows()));
  std::iota(entries.begin(), entries.end(), first);
  const auto rows = comm::together(comm, [&comm, &found = found] {
    return dist::to_row_block(comm, found.n, found.vectors.view());
  });
  const auto mine = dist::fetch_rows<double>(rows, entries);  // k x (c m)
  const ParameterModes modes(cut.spectrum);
  return comm::together(comm, [&] {
    Matrix<T> V(std::ssize(modes.columns), mine.cols());
    for (Index j = 0; j < V.cols(); ++j)
      for (Index i = 0; i < V.rows(); ++i)
        V(i, j) = static_cast<T>(mine(modes.columns[static_cast<std::size_t>(i)], j));
    return msk::Preconditioner<T>(std::move(V), modes.coefficients);
  });
}

/// The eigenvalues of S in J J^T S = n (scale K) S; NaN where K is not the network's kernel.
template <class T>
std::vector<double> TrainingPairs<T>::ratios(const msk::ModifiedSpectrum& spectrum) const {
  auto ratio = spectrum.ratio();  // 1 without S
  for (double& s : ratio) s *= plan_.tangent ? jacobian_scale() : NAN;
  return ratio;
}

template <class T>
void TrainingPairs<T>::prepare_directions(const Pairs& solved) {
  auto which = options_.directions;
  for (const auto& space : whole_spaces(options_.eigenfunctions, solved.pairs))
    for (Index i = space.first; i < space.first + space.size; ++i) which.push_back(i + 1);
  std::ranges::sort(which);
  which.erase(std::unique(which.begin(), which.end()), which.end());
  directions_ = comm::together(grid_.all(), [&] {
    return train::Directions<T>(solved.pairs, which, ratios(solved.cut.spectrum));
  });
}

/// The functions of all members of the spaces, and their values on the test rows.
template <class T>
void TrainingPairs<T>::prepare_functions(const Pairs& solved, std::span<const T> w_0) {
  const Monitor::Phase scope(monitor_, "functions");
  const auto& which = directions_.which();
  FunctionTrace trace{
      .n = train_.rows(),
      .outputs = network_.outputs(),
      .test_rows = test_->known_rows,
      .target = TestObserver<T>(network_, *test_, nullptr, w_0).largest_residual(w_0),
      .theorem_not_for = not_plain_descent(options_.descent, options_.preconditioned())};
  for (auto space : whole_spaces(options_.eigenfunctions, solved.pairs)) {
    if (space.first + space.size == solved.pairs.k() && solved.pairs.k() < train_.rows())
      monitor_.log("functions", fmt::format("eigenvalue {} may be equal to some beyond the pairs "
                                            "that are known: its space may be larger",
                                            space.first + space.size));
    const Index members = space.size;
    for (Index i = space.first; i < space.first + members; ++i) {
      const auto place = std::ranges::lower_bound(which, i + 1) - which.begin();
      trace.place.push_back(static_cast<std::size_t>(place));
      trace.index.push_back(i + 1);
      trace.eigenvalues.push_back(solved.pairs.values[static_cast<std::size_t>(i)]);
      trace.rates.push_back(directions_.rates()[static_cast<std::size_t>(place)] /
                            static_cast<double>(train_.rows()));
    }
    space.first = std::ssize(trace.index) - members;
    trace.spaces.push_back(space);
  }
  auto source = plan_.kernel;
  for (const auto& line : source.verify_cross(grid_.all(), identity_of("test", *test_),
                                              identity_of("training", train_)))
    monitor_.log("kernel", line);
  auto values = spectral::eigenfunctions(source, test_->inputs, train_.inputs, solved.pairs,
                                         trace.index, {.nb = plan_.nb});
  trace.inverse_gram = inverse_gram(*test_, values);
  note_kernel_difference(network_, {w_0.begin(), w_0.end()}, *test_, grid_, plan_.seed, trace);
  functions_ = TestFunctions{std::move(trace), std::move(values)};
}

/// S = I + V diag(s - 1) V^T, to compare K_t with K_0.
template <class T>
void TrainingPairs<T>::prepare_grid_S(const Pairs& solved) {
  const Index n = train_.rows();
  const Index nb =
      plan_.nb_asked > 0 ? plan_.nb_asked : spectral::recommended_block(n, grid_.shape());
  auto on_grid = spectral::on_grid<double>(solved.pairs, n, grid_, nb);
  grid_S_ = GridS{std::move(on_grid.vectors), solved.cut.spectrum.ratio()};
}

template <class T>
void TrainingPairs<T>::renew(train::RowSet<T>& set, std::size_t number, std::span<const T> w) {
  if (options_.on_parameters()) {
    set.P = on_parameters(w, false);
    return;
  }
  const auto kernel = training_kernel<T>(options_, plan_.kernel, network_, w);
  const auto& X = inputs(number);
  const auto solved =
      pairs(kernel, X, options_.top < 0 ? X.rows() : std::min(options_.top, X.rows()));
  set.S = on_residuals(solved);
  if (!options_.directions.empty())
    directions_.set_rates(X.rows(), solved.pairs.values, ratios(solved.cut.spectrum));
}

template <class T>
typename TrainingPairs<T>::Pairs TrainingPairs<T>::cut(const msk::SpectrumMap& g, Index top,
                                                       Index k, Index n, PairSolver& solve,
                                                       double scale) const {
  using Positivity = msk::SpectrumMap::Positivity;
  const auto cut = msk::cut_options<double>(
      top, n, options_.preconditioned() ? Positivity::positive : Positivity::nonnegative);
  const msk::SolveOptions how{.pairs = k, .tolerance = solve.tolerance()};
  return msk::solve_and_cut<spectral::TopPairs>(
      g, cut, how, [&](Index wanted, double tolerance, const spectral::TopPairs* before) {
        auto pairs = solve(wanted, tolerance, before);
        for (double& lambda : pairs.values) lambda *= scale;
        pairs.next *= scale;
        return pairs;
      });
}

template <class T>
typename TrainingPairs<T>::Pairs TrainingPairs<T>::pairs(const gram::Source& kernel,
                                                         const RowBlock<double>& X, Index k) {
  using Positivity = msk::SpectrumMap::Positivity;
  const Index n = X.rows();
  const bool S_asked = options_.preconditioned();
  const auto g = msk::SpectrumMap::parse(S_asked ? options_.g : "identity");
  const Index top = !S_asked ? k : options_.top < 0 ? n : std::min(options_.top, n);
  if (!options_.spectrum.empty()) {
    const auto options =
        msk::cut_options<double>(top, n, S_asked ? Positivity::positive : Positivity::nonnegative);
    auto stored = spectral::by_rows(
        read<double>(options_.spectrum, kernel, train_, grid_, plan_.nb, monitor_));
    if (stored.k() < k)  // the file has changed since the plan was made
      throw InputError("{}: holds {} eigenpairs, but {} are needed", options_.spectrum.text(),
                       stored.k(), k);
    const msk::SolveOptions how{.most = stored.k(),
                                .where = options_.spectrum.text() + " holds no more"};
    return msk::solve_and_cut<spectral::TopPairs>(
        g, options, how,
        [&](Index, double, const spectral::TopPairs*) { return std::move(stored); });
  }
  PairSolver solve(plan_.pairs, options_.method, kernel, X, grid_, plan_.nb_asked, plan_.seed,
                   monitor_);
  // K of n c rows and outputs is divided by n c, K_0 = J J^T/n by n.
  auto found = cut(g, top, k, n, solve, joint() ? static_cast<double>(network_.outputs()) : 1);
  ++solved_;
  return found;
}

/// S^(1/2) K_0 S^(1/2) has the eigenvalues of K_0 S; S^(1/2) is the S of sqrt(g(lambda)/lambda).
template <class T>
Extremes TrainingPairs<T>::operator_spectrum(const spectral::TopPairs* pairs,
                                             const msk::ModifiedSpectrum& spectrum,
                                             std::span<const T> w_0) const {
  const Index n = train_.rows(), nb = plan_.nb;
  const auto kernel = net::empirical_kernel(network_, {w_0.begin(), w_0.end()});
  auto K = gram::assemble<double>(*kernel, train_.inputs, grid_, {.nb = nb});
  if (pairs != nullptr) {
    auto root = spectrum;
    const auto ratio = spectrum.ratio();
    for (std::size_t i = 0; i < ratio.size(); ++i) root.g[i] = root.lambda[i] * std::sqrt(ratio[i]);
    const auto on_grid = spectral::on_grid<double>(*pairs, n, grid_, nb);
    const msk::GridPreconditioner<double> S(on_grid, root);
    S.apply(K);
    S.apply_right(K);
    dist::mirror_lower(K);
  }
  const auto values = spectral::eigenpairs(std::move(K), {.vectors = false}).values;
  return {values.back(), values.front()};
}

/// The standard parametrisation's analytic kernel is the limit of (1/m) J J^T, m the width of the
/// last hidden layer.
template <class T>
double TrainingPairs<T>::jacobian_scale() const {
  const bool over_width = network_.parametrization() == net::Parametrization::standard &&
                          options_.precondition != Precondition::empirical;
  return over_width ? static_cast<double>(network_.layers().back().fan_in) : 1;
}

template <class T>
void TrainingPairs<T>::note_bound(const msk::ModifiedSpectrum& spectrum, Index n,
                                  Training<T>& training) const {
  const auto& g = spectrum.g;  // eigenvalues of K S; the unknown ones lie in 0 ... next
  const Index rows = joint() ? n / network_.outputs() : n;  // K S = J J^T S/rows
  const bool all = std::ssize(g) == n;
  double largest = *std::ranges::max_element(g), smallest = *std::ranges::min_element(g);
  if (!all) {
    largest = std::max(largest, spectrum.next);
    smallest = std::min(smallest, spectrum.next);
  }
  const auto bound = [&](double lambda_min) {
    return 2 / (static_cast<double>(rows) * jacobian_scale() * (largest + lambda_min));
  };
  const double from = bound(smallest), to = bound(all ? smallest : 0);
  if (training.bound_from == 0 || from < training.bound_from) {
    training.bound_from = from;
    training.bound_to = to;
  }
}

template gram::Source training_kernel<double>(const TrainingOptions&, const gram::Source&,
                                              const net::Network&, std::span<const double>);
template gram::Source training_kernel<float>(const TrainingOptions&, const gram::Source&,
                                             const net::Network&, std::span<const float>);
template class TrainingPairs<double>;
template class TrainingPairs<float>;

}  // namespace mercer::jobs
