#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "layout.hpp"
#include "mercer/base/error.hpp"
#include "ridge_samples.hpp"

namespace mercer::krr {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLargest = 1, kSmallest = -10;  // log10 of G
constexpr double kFinest = 0.1;                  // decades

constexpr double kPrecise = 0.01;  // relative error of a score by the solver that is accepted
constexpr double kFinestTolerance = 1e-13;

/// A score with a larger solver_error does not count: every ridge would seem as good.
constexpr double kVague = 0.1;

bool usable(const RidgeScore& s) {
  return s.converged && std::isfinite(s.score) && s.solver_error <= kVague;
}
/// log(a/b), 0 where both are 0.
double log_ratio(const RidgeScore& a, const RidgeScore& b) {
  return a.score == b.score ? 0 : std::log(a.score / b.score);
}
const RidgeScore* best_of(std::span<const RidgeScore> scores) {
  const RidgeScore* best = nullptr;
  for (const RidgeScore& s : scores)
    if (usable(s) && (!best || s.score < best->score)) best = &s;
  return best;
}
[[noreturn]] void refuse_all(std::span<const RidgeScore> scores) {
  const auto [least, most] = std::minmax_element(
      scores.begin(), scores.end(),
      [](const RidgeScore& a, const RidgeScore& b) { return a.ridge < b.ridge; });
  const auto range = fmt::format("{:.2e} ... {:.2e}", least->ridge, most->ridge);
  if (!most->failure.empty())
    throw RunError("none of the ridges tried, {}, has a score: {}", range, most->failure);
  if (std::none_of(scores.begin(), scores.end(), [](const auto& s) { return s.converged; }))
    throw RunError(
        "conjugate gradients converged for none of the ridges tried, {}: allow more "
        "`max_iterations`, a larger rank of the preconditioner or larger ridges",
        range);
  throw RunError("none of the ridges tried, {}, has a finite score", range);
}
bool certainly_worse(const RidgeScore& s, const RidgeScore& best) {
  return log_ratio(s, best) > 2 * RidgeEstimates::difference_error(s, best);
}

/// A solution that is kept to start another run from.
struct Kept {
  double ridge = 0;
  Matrix<double> X{};
};

}  // namespace

struct RidgeEstimates::State {
  std::unique_ptr<RidgeSamples> samples;
  RidgeEstimateOptions options;
  double mean_diagonal = 0;
  std::vector<Kept> kept{};  ///< at most two; the last one computed is at the end

  const comm::Communicator& comm() const { return samples->A().comm(); }
  Matrix<double> start(double ridge) const;
  void keep(double ridge, Matrix<double>&& X) {
    if (kept.size() == 2) {
      const auto distance = [&](const Kept& k) { return std::abs(std::log(k.ridge / ridge)); };
      kept.erase(kept.begin() + (distance(kept[0]) >= distance(kept[1]) ? 0 : 1));
    }
    kept.push_back({ridge, std::move(X)});
  }
};

/// Column by column the combination of the kept solutions x_k with the least residual for gamma:
/// up to their own residuals, (A + gamma I) x_k = b + (gamma - gamma_k) x_k =: w_k.
Matrix<double> RidgeEstimates::State::start(double ridge) const {
  const View B = samples->B();
  const std::size_t count = kept.size();
  if (count == 0) return {};
  std::vector<Matrix<double>> w;
  for (const Kept& k : kept) {
    w.emplace_back(B.rows, B.cols);
    for (Index j = 0; j < B.cols; ++j)
      for (Index i = 0; i < B.rows; ++i) w.back()(i, j) = B(i, j) + (ridge - k.ridge) * k.X(i, j);
  }
  const auto dots = [&](View a, View b) { return column_dots(comm(), a, b); };
  const View w0 = w.front().view(), w1 = w.back().view();
  const auto d00 = dots(w0, w0), b0 = dots(w0, B), d11 = dots(w1, w1), b1 = dots(w1, B),
             d01 = dots(w0, w1);
  Matrix<double> X(B.rows, B.cols, 0.0);
  for (Index j = 0; j < B.cols; ++j) {
    const auto at = static_cast<std::size_t>(j);
    const double determinant = d00[at] * d11[at] - d01[at] * d01[at];
    double first = 0, second = d11[at] > 0 ? b1[at] / d11[at] : 0;
    if (count == 2 && determinant > 1e-8 * d00[at] * d11[at]) {
      first = (b0[at] * d11[at] - b1[at] * d01[at]) / determinant;
      second = (b1[at] * d00[at] - b0[at] * d01[at]) / determinant;
    }
    for (Index i = 0; i < B.rows; ++i)
      X(i, j) = first * kept.front().X(i, j) + second * kept.back().X(i, j);
  }
  return X;
}

RidgeEstimates::RidgeEstimates(const gram::Operator& K, const LowRankPreconditioner& M,
                               const RowBlock<double>& Y, RidgeCriterion criterion,
                               const RidgeEstimateOptions& options)
    : RidgeEstimates(K, nullptr, M, Y, criterion, options) {}

RidgeEstimates::RidgeEstimates(const ModifiedOperator& K_g, const LowRankPreconditioner& M,
                               const RowBlock<double>& Y, RidgeCriterion criterion,
                               const RidgeEstimateOptions& options)
    : RidgeEstimates(K_g, &K_g, M, Y, criterion, options) {}

RidgeEstimates::RidgeEstimates(const gram::Operator& K, const ModifiedOperator* K_g,
                               const LowRankPreconditioner& M, const RowBlock<double>& Y,
                               RidgeCriterion criterion, const RidgeEstimateOptions& options)
    : state_(std::make_unique<State>()) {
  if (Y.rows() != K.size())
    throw InputError("K has {} rows, but there are {} targets", K.size(), Y.rows());
  if (Y.rows() == 0 || Y.cols() == 0)
    throw InputError("there is nothing to fit: {} rows, {} outputs", Y.rows(), Y.cols());
  if (criterion != RidgeCriterion::holdout && options.probes < 2)
    throw InputError("{} probes: estimates need at least 2", options.probes);
  state_->options = options;
  std::vector<double> diagonal(static_cast<std::size_t>(K.local_rows()));
  K.diagonal(diagonal);
  state_->mean_diagonal =
      K.comm().all_reduce(std::accumulate(diagonal.begin(), diagonal.end(), 0.0), comm::Op::sum) /
      static_cast<double>(K.size());
  state_->samples = criterion == RidgeCriterion::holdout
                        ? holdout_samples(K, M, Y, options)
                        : probe_samples(K, K_g, M, Y, criterion, options);
}
RidgeEstimates::~RidgeEstimates() = default;

RidgeScore RidgeEstimates::score(double ridge) {
  check_ridge(ridge);
  if (ridge == 0) throw InputError("the ridge is 0: scores are estimated for positive ridges");
  RidgeScore score{.ridge = ridge, .score = kInfinity, .converged = false};
  Matrix<double> X = state_->start(ridge);
  CgOptions options{.tolerance = state_->options.tolerance,
                    .max_iterations = state_->options.max_iterations};
  try {
    // With small ridges Y - F is small, and the solver's residuals must be smaller than that.
    for (bool enough = false; !enough;) {
      options.start = X.view();
      CgResult solution = conjugate_gradients(state_->samples->A(), ridge, state_->samples->M(),
                                              state_->samples->B(), options);
      score.iterations += solution.iterations;
      score.converged = score.converged || solution.converged;
      state_->samples->judge(solution, score);
      enough = !solution.converged || score.solver_error <= kPrecise ||
               options.tolerance <= kFinestTolerance;
      options.tolerance =
          std::max(kFinestTolerance, options.tolerance * 0.5 * kPrecise / score.solver_error);
      X = std::move(solution.X);
    }
    state_->keep(ridge, std::move(X));
  } catch (const RunError& error) {  // on all ranks: not positive definite, or not finite
    score.failure = error.what();
    score.score = kInfinity;
    score.converged = false;
  }
  if (state_->options.done) state_->options.done(score);
  return score;
}

std::vector<RidgeScore> RidgeEstimates::scores(std::span<const double> ridges) {
  std::vector<std::size_t> order(ridges.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return ridges[a] > ridges[b]; });
  std::vector<RidgeScore> result(ridges.size());
  for (const std::size_t i : order) result[i] = score(ridges[i]);
  return result;
}

double RidgeEstimates::difference_error(const RidgeScore& a, const RidgeScore& b) {
  if (!std::isfinite(a.score) || !std::isfinite(b.score)) return kInfinity;
  const double solver = std::hypot(a.solver_error, b.solver_error);
  if (a.replicates.size() != b.replicates.size() || a.replicates.size() < 2) return solver;
  const auto m = static_cast<double>(a.replicates.size());
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < a.replicates.size(); ++i)
    mean += (a.replicates[i] - b.replicates[i]) / m;
  for (std::size_t i = 0; i < a.replicates.size(); ++i)
    square += std::pow(a.replicates[i] - b.replicates[i] - mean, 2);
  return std::hypot(std::sqrt(square / (m * (m - 1))), solver);
}

std::size_t RidgeEstimates::best(std::span<const RidgeScore> scores) {
  const RidgeScore* least = best_of(scores);
  if (least == nullptr) refuse_all(scores);
  std::size_t found = static_cast<std::size_t>(least - scores.data());
  for (std::size_t r = 0; r < scores.size(); ++r)
    if (usable(scores[r]) && scores[r].ridge > scores[found].ridge &&
        log_ratio(scores[r], *least) <= difference_error(scores[r], *least))
      found = r;
  return found;
}

RidgeSelection RidgeEstimates::select() {
  if (!(state_->mean_diagonal > 0))
    throw RunError("trace(K) is not positive: there is no scale to choose a ridge on");
  std::vector<RidgeScore> tried;
  const auto hopeless = [&] {
    if (!usable(tried.back())) return true;
    const RidgeScore& best = *best_of(tried);
    const std::size_t count = tried.size();
    return count > 2 && certainly_worse(tried[count - 1], best) &&
           certainly_worse(tried[count - 2], best);
  };
  for (double G = kLargest; G >= kSmallest - 0.5; G -= 1) {
    tried.push_back(score(std::pow(10.0, G) * state_->mean_diagonal));
    if (hopeless()) break;
  }
  if (best_of(tried) == nullptr) refuse_all(tried);

  for (double step = 0.5; step > kFinest; step /= 2) {
    const RidgeScore best = *best_of(tried);
    // Is the score of a neighbour that was tried distinguishable from the best?
    const auto told_apart = [&](const RidgeScore& s) {
      const double distance = std::abs(std::log10(s.ridge / best.ridge));
      return distance > 0.5 * step && distance < 2.5 * step && usable(s) &&
             log_ratio(s, best) > difference_error(s, best);
    };
    if (std::none_of(tried.begin(), tried.end(), told_apart)) break;
    const auto [least, most] = std::minmax_element(
        tried.begin(), tried.end(),
        [](const RidgeScore& a, const RidgeScore& b) { return a.ridge < b.ridge; });
    const double lower = best.ridge * std::pow(10.0, -step),
                 upper = best.ridge / (lower / best.ridge);
    const bool below = lower > least->ridge, beyond = upper < most->ridge;
    if (beyond) tried.push_back(score(upper));
    if (below) tried.push_back(score(lower));
  }

  RidgeSelection selection;
  std::sort(tried.begin(), tried.end(),
            [](const RidgeScore& a, const RidgeScore& b) { return a.ridge < b.ridge; });
  selection.best = tried[best(tried)];
  selection.ridge = selection.best.ridge;
  using Edge = RidgeSelection::Edge;
  if (selection.ridge == tried.front().ridge) selection.edge = Edge::smallest;
  if (selection.ridge == tried.back().ridge) selection.edge = Edge::largest;
  selection.tried = std::move(tried);
  return selection;
}

}  // namespace mercer::krr
