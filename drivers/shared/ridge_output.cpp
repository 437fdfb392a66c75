#include "shared/ridge_output.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"

namespace mercer::drivers {

std::string score_unit(const jobs::RidgeOptions& options, const data::Preparation& preparation) {
  const std::string unit = jobs::prepared_unit(preparation);
  return options.choice == krr::RidgeCriterion::gcv ? fmt::format("({})^2", unit) : unit;
}

void print_fit(Session& session, const jobs::RidgeFit& fit, const std::string& unit) {
  const auto& best = fit.best_fit();
  const std::string relative =
      fit.mean_diagonal != 0 ? fmt::format(" = {:.4e} trace(K)/n", best.ridge / fit.mean_diagonal)
                             : "; K is zero";
  session.say("\nridge {:.6e}{}; residual of the solve {:.1e} ({})", best.ridge, relative,
              best.residual, best.residual_exact ? "exact" : "estimated");
  if (!fit.edge.empty()) session.say("edge    {}", fit.edge);
  if (!fit.estimates.empty()) session.say("scores  {}", fit.estimates);
  if (fit.chosen.has_value())
    session.say("score   {:.8g} +- {:.1e} in {}, estimated; {} ridges tried", fit.chosen->score,
                fit.chosen->error, unit, fit.tried.size());
  if (fit.fits.size() > 1 && fit.tried.empty())
    session.say("chosen  the ridge of the least leave-one-out error");
  if (fit.fits.size() > 1 && !fit.tried.empty())
    session.say(
        "chosen  the ridge of the least leave-one-out error, or the largest whose estimate, here "
        "+- {:.1e}, does not differ significantly",
        fit.tried[fit.best].error);
  for (std::size_t r = 0; r < fit.runs.size(); ++r) {
    const auto& run = fit.runs[r];
    if (fit.resumed && run.iterations == 0 && run.converged) {
      session.say("cg      ridge {:.3e}: done before, residual {:.1e}", fit.fits[r].ridge,
                  fit.fits[r].residual);
      continue;
    }
    session.say("cg      ridge {:.3e}: {}{}, {}{}, residual {:.1e}, M = {}", fit.fits[r].ridge,
                counted(run.iterations, "iteration"), fit.resumed ? " in all" : "",
                counted(run.products, "product"), fit.resumed ? " in this run" : "",
                fit.fits[r].residual, fit.preconditioner);
    if (!run.converged) session.warn(run.stagnation, true);
  }
}

void note_fit(Session& session, const jobs::RidgeFit& fit, const std::string& unit) {
  const auto& best = fit.best_fit();
  auto& record = session.record();
  record.method = fit.method;
  record.flops = fit.flops;
  record.residual = best.residual;
  if (fit.orthogonality >= 0) record.orthogonality = fit.orthogonality;
  auto& result = record.result;
  result["ridge"] = best.ridge;
  if (fit.mean_diagonal != 0) result["ridge_relative"] = best.ridge / fit.mean_diagonal;
  if (best.loo_rmse >= 0) result["loo_exact"] = best.loo_exact;
  if (fit.searched_to > 0) {
    result["ridge_searched"] = {fit.searched_from, fit.searched_to};
    result["ridge_edge"] = fit.edge_side.empty() ? "none" : fit.edge_side;
  }
  if (fit.top > 0) result["top"] = fit.top;
  if (!fit.estimates.empty()) result["score_estimates"] = fit.estimates;
  if (fit.chosen.has_value()) {
    result["score"] = fit.chosen->score;
    result["score_error"] = fit.chosen->error;
    result["units"]["score"] = unit;
  }
  if (fit.runs.empty()) return;
  const auto& run = fit.runs[fit.best];
  result["iterations"] = run.iterations;
  result["products"] = run.products;
  if (fit.resumed) result["products_counted"] = "since --resume";
  result["converged"] = run.converged;
  result["stagnation"] = run.stagnation;
  result["preconditioner"] = fit.preconditioner;
  result["storage"] = fit.storage;
  result["stored_share"] = fit.stored_share;
}

}  // namespace mercer::drivers
