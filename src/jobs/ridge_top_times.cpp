#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "mercer/base/error.hpp"
#include "mercer/krr/top_flow.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

/// K_ii of this rank's rows; none where K is stored in a file.
std::optional<std::vector<double>> own_diagonal(const RidgePlan& plan, const data::Dataset& train) {
  if (plan.kernel.is_stored()) return std::nullopt;
  auto diagonal = gram::diagonal(plan.kernel.kernel(), train.inputs);
  for (double& k : diagonal) k /= static_cast<double>(train.rows());
  return diagonal;
}

/// The score of a fit by the criterion: the GCV score, or the leave-one-out rmse.
double score_of(const krr::Fit& fit, bool gcv) {
  return gcv ? fit.gcv : fit.loo_rmse;
}

/// Place of the time of least score, among those whose predictions are bounded if there are any.
std::size_t choose(const std::vector<krr::GradientFlow>& flows, const std::vector<krr::Fit>& fits,
                   bool gcv) {
  std::vector<double> scores;
  for (const auto& one : fits) scores.push_back(score_of(one, gcv));
  const auto bounded = [](const krr::Fit& one) { return std::isfinite(one.rest_predicted); };
  if (std::ranges::any_of(fits, bounded))  // of these, one whose predictions are bounded
    for (std::size_t t = 0; t < fits.size(); ++t)
      if (!bounded(fits[t])) scores[t] = std::numeric_limits<double>::infinity();
  const std::vector<double> errors(scores.size(), 1e-9);  // relative, of sums and norms
  return krr::best_time(flows, scores, errors);
}

}  // namespace

Index fit_top_times(const RidgePlan& plan, const data::Dataset& train,
                    const spectral::TopPairs& pairs, Monitor& monitor, RidgeFit& fit) {
  const auto& time = plan.options.time;
  const Index n = train.rows();
  if (!(fit.mean_diagonal > 0))
    throw InputError("`times`: K is zero: give inputs that vary, or a `bias_std`");
  const double gamma = plan.options.gammas(fit.mean_diagonal).front();
  const auto like = time.flow(gamma, n);
  fit.step = like.step;
  fit.pairs_residual = *std::ranges::max_element(pairs.residuals);
  const Monitor::Phase scope(monitor, "solve");
  const krr::TopFlow path(
      pairs, fit.spectrum, train.targets,
      [&](const dist::RowBlock<double>& A) {
        return gram::apply(
            plan.kernel, train.inputs, A,
            {.panel_bytes = plan.panel_bytes, .nb = plan.nb, .progress = monitor.shares()});
      },
      own_diagonal(plan, train));
  if (time.choice == krr::RidgeCriterion::leave_one_out && !path.leaves_out())
    throw InputError(
        "`times` loo: from some eigenpairs it takes the diagonal of K, which is not read from a "
        "file: give all pairs, or gcv");
  const bool gcv = !path.leaves_out() || time.choice == krr::RidgeCriterion::gcv;
  fit.best_by_gcv = gcv;
  const auto flows = time.choice.has_value() ? path.times(like) : time.flows(gamma, n);
  fit.estimates = what_scores_estimate(plan.options) +
                  "; in the coefficients, all modes outside the known pairs have the factor that "
                  "training gives to an eigenvalue lambda_k";
  if (!time.choice.has_value()) {
    fit.fits = path.fit(flows);
    fit.best = flows.size() > 1 ? choose(flows, fit.fits, gcv) : 0;
    return std::ssize(flows);
  }
  std::vector<krr::Fit> tried;
  for (const auto& flow : flows) {  // one at a time: coefficients and F of all would not fit
    tried.push_back(std::move(path.fit(std::span(&flow, 1)).front()));
    tried.back().alpha = {};
    tried.back().fitted = {};
  }
  const auto best = choose(flows, tried, gcv);
  fit.searched_from = flows.front().time;
  fit.searched_to = flows.back().time;
  note_edge(flows[best], best == 0, best + 1 == flows.size(), fit);
  const double smallest = pairs.values.back();
  if (best > 0 && best + 1 == flows.size() && flows[best].time * smallest > 1) {
    fit.edge_side = "upper";
    fit.edge = fmt::format(
        "the time is at the end of the range searched, t = {:.2e} ... {:.2e}, about 10/lambda_k: "
        "more eigenpairs allow longer times",
        fit.searched_from, fit.searched_to);
  }
  fit.fits = path.fit(std::span(&flows[best], 1));
  return std::ssize(flows) + 1;
}

}  // namespace mercer::jobs
