#include "shared/ridge_output.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/data/preparation_file.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/krr/score.hpp"
#include "mercer/report/plot.hpp"

namespace mercer::drivers {

using dist::RowBlock;

Scores evaluate(dist::RowBlock<double>& predictions, const data::Dataset& test,
                const data::Standardization& standardization) {
  auto targets = test.targets.copy();
  Scores scores;
  if (!standardization.target_deviation.empty())
    scores.rmse_standardized = krr::rmse(predictions, targets);
  data::to_target_units(standardization, predictions);
  data::to_target_units(standardization, targets);
  scores.mse = krr::mse(predictions, targets);
  scores.rmse = std::sqrt(scores.mse);
  if (test.classes > 0) scores.accuracy = krr::accuracy(predictions, test.labels);
  return scores;
}

void print_scores(const Session& session, double ridge, const Scores& s, double loo, double gcv) {
  const auto shown = [](double value) {
    return value < 0 ? std::string("-") : fmt::format("{:.8g}", value);
  };
  session.say("{:>14.6e}  {:>14}  {:>14}  {:>10}  {:>14}  {:>14}", ridge, shown(s.rmse),
              shown(s.mse), s.accuracy < 0 ? "-" : fmt::format("{:.4f}", s.accuracy), shown(loo),
              shown(gcv));
}

void print_header(const Session& session) {
  session.say("\n{:>14}  {:>14}  {:>14}  {:>10}  {:>14}  {:>14}", "ridge", "test rmse", "test mse",
              "accuracy", "leave-one-out", "gcv");
}

void write_scores(dist::Hdf5File& file, const std::string& group,
                  const std::vector<Scores>& scores) {
  const auto column = [&](const char* name, double Scores::*value) {
    std::vector<double> values;
    for (const auto& s : scores) values.push_back(s.*value);
    if (!values.empty() && values.front() >= 0) file.write(group + "/" + name, values);
  };
  column("rmse", &Scores::rmse);
  column("mse", &Scores::mse);
  column("rmse_standardized", &Scores::rmse_standardized);
  column("accuracy", &Scores::accuracy);
}

void note_scores(Session& session, const Scores& scores) {
  auto& result = session.record().result;
  result["rmse"] = scores.rmse;
  result["mse"] = scores.mse;
  if (scores.rmse_standardized >= 0) result["rmse_standardized"] = scores.rmse_standardized;
  if (scores.accuracy >= 0) result["accuracy"] = scores.accuracy;
}

template <class T>
bool print_solution(const Session& session, const Solution<T>& solution) {
  const auto& fit = solution.fits[solution.best];
  session.say("\nridge {:.6e} = {:.4e} trace(K)/n; residual of the solve {:.1e} ({})", fit.ridge,
              fit.ridge / solution.mean_diagonal, fit.residual,
              fit.residual_exact ? "exact" : "estimated");
  if (!solution.edge.empty()) session.say("edge    {}", solution.edge);
  if (!solution.estimates.empty()) session.say("scores  {}", solution.estimates);
  if (solution.chosen.has_value())
    session.say("score   {:.8g} +- {:.1e}, estimated; {} ridges tried", solution.chosen->score,
                solution.chosen->error, solution.tried.size());
  bool converged = true;
  for (std::size_t r = 0; r < solution.runs.size(); ++r) {
    const auto& run = solution.runs[r];
    session.say("cg      ridge {:.3e}: {} iterations, {} products, residual {:.1e}, M = {}",
                solution.fits[r].ridge, run.iterations, run.products, solution.fits[r].residual,
                solution.preconditioner);
    if (!run.converged) session.warn(run.stagnation);
    converged = converged && run.converged;
  }
  return converged;
}

template <class T>
void note_solution(Session& session, const Solution<T>& solution) {
  const auto& fit = solution.fits[solution.best];
  auto& record = session.record();
  record.method = solution.method;
  record.residual = fit.residual;
  if (solution.pairs.has_value()) record.orthogonality = solution.pairs->orthogonality;
  auto& result = record.result;
  result["ridge"] = fit.ridge;
  result["ridge_relative"] = fit.ridge / solution.mean_diagonal;
  if (fit.loo_rmse >= 0) result["loo_rmse"] = fit.loo_rmse;
  if (fit.loo_rmse >= 0) result["loo_exact"] = fit.loo_exact;
  if (fit.gcv >= 0) result["gcv"] = fit.gcv;
  if (solution.searched_to > 0) {
    result["ridge_searched"] = {solution.searched_from, solution.searched_to};
    result["ridge_edge"] = solution.edge_side.empty() ? "none" : solution.edge_side;
  }
  if (solution.top > 0) result["top"] = solution.top;
  if (!solution.estimates.empty()) result["score_estimates"] = solution.estimates;
  if (solution.chosen.has_value()) {
    result["score"] = solution.chosen->score;
    result["score_error"] = solution.chosen->error;
  }
  if (solution.runs.empty()) return;
  const auto& run = solution.runs[solution.best];
  result["iterations"] = run.iterations;
  result["products"] = run.products;
  result["converged"] = run.converged;
  result["stagnation"] = run.stagnation;
  result["preconditioner"] = solution.preconditioner;
  result["storage"] = solution.storage;
  result["stored_share"] = solution.stored_share;
}

template <class T>
double accepted_error(const RidgeJob& job, const Solution<T>& solution) {
  double error = std::is_same_v<T, float> ? 1e-5 : 1e-12;
  if (!solution.runs.empty()) error = std::max(error, 2 * job.cg_tolerance);
  if (solution.storage == "single" || solution.storage == "mixed") error = std::max(error, 1e-7);
  return error;
}

template <class T>
void write_solution(dist::Hdf5File& file, const Solution<T>& solution,
                    const std::vector<Scores>& scores) {
  const auto& fit = solution.fits[solution.best];
  const auto one = [](double value) { return std::vector<double>{value}; };
  file.write("/ridge", one(fit.ridge));
  if (!scores.empty()) write_scores(file, "/score", {scores[solution.best]});
  if (fit.loo_rmse >= 0) file.write("/score/loo_rmse", one(fit.loo_rmse));
  if (fit.gcv >= 0) file.write("/score/gcv", one(fit.gcv));
  if (solution.fits.size() > 1) {
    std::vector<double> ridges, loo, gcv;
    for (const auto& f : solution.fits) {
      ridges.push_back(f.ridge);
      if (f.loo_rmse >= 0) loo.push_back(f.loo_rmse);
      if (f.gcv >= 0) gcv.push_back(f.gcv);
    }
    file.write("/path/ridge", ridges);
    write_scores(file, "/path", scores);
    if (loo.size() == ridges.size()) file.write("/path/loo_rmse", loo);
    if (gcv.size() == ridges.size()) file.write("/path/gcv", gcv);
  }
  if (solution.tried.empty()) return;
  std::vector<double> ridges, values, errors;
  for (const auto& tried : solution.tried) {
    ridges.push_back(tried.ridge);
    values.push_back(tried.score);
    errors.push_back(tried.error);
  }
  file.write("/search/ridge", ridges);
  file.write("/search/score", values);
  file.write("/search/error", errors);
}

namespace {

/// Both in the targets' own units.
report::Plot plot_predictions(const RowBlock<double>& predictions, const data::Dataset& test,
                              const data::Standardization& standardization) {
  report::Series points{.label = "test rows", .x = {}, .y = {}, .style = report::Style::points};
  auto targets = test.targets.copy();
  data::to_target_units(standardization, targets);
  const auto f = dist::all_rows(predictions);
  const auto y = dist::all_rows(targets);
  for (Index i = 0; i < std::min<Index>(f.cols(), 4000); ++i)
    for (Index c = 0; c < f.rows(); ++c) {
      points.x.push_back(y(c, i));
      points.y.push_back(f(c, i));
    }
  return {.title = "Predictions", .x_label = "target", .y_label = "prediction", .series = {points}};
}

}  // namespace

template <class T>
void plot(const Session& session, const Solution<T>& solution, const std::vector<Scores>& scores,
          const RowBlock<double>& predictions, const data::Dataset* test,
          const data::Standardization& standardization) {
  std::vector<report::Plot> panels;
  if (!solution.spectrum.lambda.empty()) {
    report::Series lambda{.label = "lambda_i", .x = {}, .y = {}},
        g{.label = "g(lambda_i)", .x = {}, .y = {}};
    for (std::size_t i = 0; i < solution.spectrum.lambda.size(); ++i) {
      lambda.x.push_back(static_cast<double>(i + 1));
      lambda.y.push_back(solution.spectrum.lambda[i]);
      g.x.push_back(static_cast<double>(i + 1));
      g.y.push_back(solution.spectrum.g[i]);
    }
    panels.push_back({.title = "Spectrum",
                      .x_label = "i",
                      .y_label = "eigenvalue of K",
                      .log_x = true,
                      .log_y = true,
                      .series = {lambda, g}});
  }
  if (solution.fits.size() > 1) {
    report::Series loo{
        .label = "leave-one-out", .x = {}, .y = {}, .style = report::Style::linespoints},
        rmse{.label = "test", .x = {}, .y = {}, .style = report::Style::linespoints};
    for (std::size_t r = 0; r < solution.fits.size(); ++r) {
      if (solution.fits[r].loo_rmse >= 0) {
        loo.x.push_back(solution.fits[r].ridge);
        loo.y.push_back(solution.fits[r].loo_rmse);
      }
      if (r >= scores.size()) continue;
      rmse.x.push_back(solution.fits[r].ridge);
      rmse.y.push_back(scores[r].rmse);
    }
    panels.push_back({.title = "Error against ridge",
                      .x_label = "gamma",
                      .y_label = "rmse",
                      .log_x = true,
                      .log_y = true,
                      .series = loo.x.empty() ? std::vector{rmse} : std::vector{loo, rmse}});
  }
  if (test != nullptr && test->outputs() > 0)
    panels.push_back(plot_predictions(predictions, *test, standardization));
  report::write_svg(session.comm(), session.options().plot, panels);
}

#define MERCER_INSTANTIATE(T)                                             \
  template bool print_solution<T>(const Session&, const Solution<T>&);    \
  template void note_solution<T>(Session&, const Solution<T>&);           \
  template double accepted_error<T>(const RidgeJob&, const Solution<T>&); \
  template void write_solution<T>(dist::Hdf5File&, const Solution<T>&, const std::vector<Scores>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

template void plot<double>(const Session&, const Solution<double>&, const std::vector<Scores>&,
                           const RowBlock<double>&, const data::Dataset*,
                           const data::Standardization&);
template void plot<float>(const Session&, const Solution<float>&, const std::vector<Scores>&,
                          const RowBlock<double>&, const data::Dataset*,
                          const data::Standardization&);

/// The options that a stored model needs again, as the text of a configuration file.
std::string model_options(const CommandLine& line) {
  std::string text;
  for (const auto& [name, value] : line.settings())
    for (const char* needed : {"kernel", "parameters", "arch", "depth", "activation", "weight-std",
                               "bias-std", "bandwidth", "split", "limit", "scale", "standardize",
                               "unit-norm", "one-hot", "target", "seed"})
      if (name == needed && line.given(name)) text += fmt::format("{}={}\n", name, value);
  return text;
}

void write_model(dist::Hdf5File& file, const StoredModel& model) {
  file.attribute("/", "options", model.options);
  file.attribute("/", "train", model.train);
  data::write(file, model.preparation);
  file.write("/alpha", model.alpha);
}

StoredModel read_model(const dist::Hdf5File& file) {
  if (!file.contains("/alpha") || !file.has_attribute("/", "options"))
    throw InputError("--model {}: is no result of mercer-krr that can predict (no /alpha)",
                     file.path());
  StoredModel model;
  model.options = file.text_attribute("/", "options");
  model.train = file.text_attribute("/", "train");
  model.preparation = data::read_preparation(file);
  model.alpha = file.read_rows<double>("/alpha");
  return model;
}

}  // namespace mercer::drivers
