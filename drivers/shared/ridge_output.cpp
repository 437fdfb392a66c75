#include "shared/ridge_output.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"

namespace mercer::drivers {

namespace {

/// Ridge and time of the fit, and how well it solves its equations.
void print_solution(Session& session, const jobs::RidgeFit& fit) {
  const auto& best = fit.best_fit();
  const std::string relative =
      fit.mean_diagonal == 0 ? "; K is zero"
      : best.ridge == 0      ? ""
                             : fmt::format(" = {:.4e} trace(K)/n", best.ridge / fit.mean_diagonal);
  if (best.fitted.rows() == 0) {
    session.say("\nridge {:.6e}{}; residual of the solve {:.1e} ({})", best.ridge, relative,
                best.residual, best.residual_exact ? "exact" : "estimated");
    return;
  }
  const std::string steps =
      fit.step > 0 && std::isfinite(best.time)
          ? fmt::format(" = {:.15g} steps of eta n = {:.4g}", best.time / fit.step, fit.step)
          : "";
  session.say("\ntime t = {:.6e}{}, ridge {:.6e}{}; |F - K alpha|/|Y| {:.1e} from the pairs",
              best.time, steps, best.ridge, relative, best.residual);
}

/// Whether training times are from fewer pairs than rows.
bool of_some_pairs(const jobs::RidgeFit& fit) {
  return fit.best_fit().fitted.rows() > 0 &&
         std::ssize(fit.spectrum.lambda) < fit.best_fit().alpha.rows();
}

/// Of training times from some pairs: what the other modes may change.
void print_rest(const Session& session, const jobs::RidgeFit& fit, const std::string& unit) {
  if (!of_some_pairs(fit)) return;
  session.say(
      "rest    {} of {} eigenpairs are known: the other modes change predictions by at most, root "
      "mean square in {}, of new rows for the training rows' mean k(x, x):",
      fit.spectrum.lambda.size(), fit.best_fit().alpha.rows(), unit);
  session.say("{:>14}  {:>18}  {:>18}", "time t", "training rows", "new rows");
  const double typical =
      std::sqrt(fit.mean_diagonal * static_cast<double>(fit.best_fit().alpha.rows()));
  for (const auto& one : fit.fits)
    session.say("{:>14.6e}  {:>18.4g}  {:>18.4g}", one.time, one.rest_fitted,
                one.rest_predicted * typical);
}

/// "inf" for ridge regression: JSON has no infinity.
void note_times(const jobs::RidgeFit& fit, nlohmann::ordered_json& result) {
  const auto number = [](double t) -> nlohmann::ordered_json {
    if (std::isinf(t)) return "inf";
    return t;
  };
  result["time"] = number(fit.best_fit().time);
  for (const auto& one : fit.fits) {
    result["times"].push_back(number(one.time));
    if (fit.step > 0) result["steps"].push_back(number(std::round(one.time / fit.step)));
  }
  if (fit.step > 0) result["step"] = fit.step;
  if (!of_some_pairs(fit)) return;
  result["pairs"] = fit.spectrum.lambda.size();
  for (const auto& one : fit.fits) {
    result["rest_fitted"].push_back(one.rest_fitted);
    result["rest_predicted"].push_back(number(one.rest_predicted));
  }
}

}  // namespace

std::string score_unit(const jobs::RidgeOptions& options, const data::Preparation& preparation) {
  const std::string unit = jobs::prepared_unit(preparation);
  return options.choice == krr::RidgeCriterion::gcv ? fmt::format("({})^2", unit) : unit;
}

void print_fit(Session& session, const jobs::RidgeFit& fit, const std::string& unit) {
  print_solution(session, fit);
  if (fit.holdout_rmse >= 0)
    session.say("score   rmse {:.8g} in {} on rows held out", fit.holdout_rmse, unit);
  if (!fit.edge.empty()) session.say("edge    {}", fit.edge);
  if (!fit.estimates.empty()) session.say("scores  {}", fit.estimates);
  if (fit.chosen.has_value())
    session.say("score   {:.8g} +- {:.1e} in {}, estimated; {} ridges tried", fit.chosen->score,
                fit.chosen->error, unit, fit.tried.size());
  if (fit.fits.size() > 1 && fit.tried.empty())
    session.say("chosen  the {} of the least {}",
                fit.best_fit().fitted.rows() > 0 ? "time" : "ridge",
                fit.best_by_gcv ? "gcv score" : "leave-one-out error");
  if (fit.fits.size() > 1 && !fit.tried.empty())
    session.say(
        "chosen  the ridge of the least leave-one-out error, or the largest whose estimate, here "
        "+- {:.1e}, does not differ significantly",
        fit.tried[fit.best].error);
  print_rest(session, fit, unit);
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

void print_covariances(const Session& session, const jobs::RidgeFit& fit,
                       const jobs::Covariances& covariances, const std::string& unit) {
  session.say("\nstandard deviation of the predictions for test rows, in {}, over {}", unit,
              covariances.trained ? "networks trained in all layers"
                                  : "networks of which the readout is trained");
  session.say("{:>14}  {:>14}  {:>14}  {:>14}", "time t", "least", "mean", "largest");
  for (std::size_t r = 0; r < fit.fits.size(); ++r) {
    const auto& [least, mean, largest] = covariances.deviations[r];
    session.say("{:>14.6e}  {:>14.8g}  {:>14.8g}  {:>14.8g}", fit.fits[r].time, least, mean,
                largest);
  }
}

namespace {

/// 1 for two zeros: of targets that are zero.
double ratio(double a, double b) {
  return a == 0 && b == 0 ? 1 : a / b;
}

}  // namespace

void print_curve(Session& session, const jobs::LearningCurve& curve, Index rows,
                 const std::string& unit) {
  session.say(
      "\nerror on n rows, mean of |f - y|^2 with its noise, in ({})^2, summed over outputs: "
      "predicted from the spectrum of {} rows (gcv, or loo: leave-one-out errors; sigma^2 is part "
      "of "
      "these){}",
      unit, rows,
      curve.measured.empty()
          ? std::string()
          : fmt::format(", and measured by fits to {} random subsets, on {}", curve.subsets,
                        curve.on_test_rows ? "the test rows" : "the rows left out"));
  session.say("{:>8}  {:>11}  {:>11}  {:>8}  {:>11}  {:>11}{}", "n", "ridge", "kappa", "freedom",
              "gcv", "loo",
              curve.measured.empty() ? "" : "     measured    +- error  gcv/meas  loo/meas");
  for (std::size_t p = 0; p < curve.points.size(); ++p) {
    const auto& point = curve.points[p];
    const double loo = curve.leave_one_out[p];
    std::string measured;
    if (!curve.measured.empty())
      measured = fmt::format("  {:>11.5g}  {:>9.2g}  {:>8.4f}  {:>8.4f}", curve.measured[p],
                             curve.measured_error[p], ratio(point.error, curve.measured[p]),
                             ratio(loo, curve.measured[p]));
    session.say("{:>8}  {:>11.4e}  {:>11.4e}  {:>8.2f}  {:>11.5g}  {:>11.5g}{}", point.n,
                point.ridge, point.kappa, point.freedom, point.error, loo, measured);
  }
}

void note_curve(Session& session, const jobs::LearningCurve& curve, const std::string& unit) {
  auto& noted = session.record().result["learning_curve"];
  for (std::size_t p = 0; p < curve.points.size(); ++p) {
    const auto& point = curve.points[p];
    noted["n"].push_back(point.n);
    noted["ridge"].push_back(point.ridge);
    noted["kappa"].push_back(point.kappa);
    noted["freedom"].push_back(point.freedom);
    noted["predicted"].push_back(point.error);
    noted["predicted_loo"].push_back(curve.leave_one_out[p]);
    if (curve.measured.empty()) continue;
    noted["measured"].push_back(curve.measured[p]);
    noted["measured_error"].push_back(curve.measured_error[p]);
  }
  noted["subsets"] = curve.subsets;
  noted["unit"] = fmt::format("({})^2, summed over outputs", unit);
  session.record().flops += curve.flops;
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
  const bool timed = best.fitted.rows() > 0;
  if (timed) note_times(fit, result);
  if (fit.searched_to > 0) {
    const std::string of = timed ? "time" : "ridge";
    result[of + "_searched"] = {fit.searched_from, fit.searched_to};
    result[of + "_edge"] = fit.edge_side.empty() ? "none" : fit.edge_side;
  }
  if (fit.holdout_rmse >= 0) {
    result["holdout_rmse"] = fit.holdout_rmse;
    result["units"]["holdout_rmse"] = unit;
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
