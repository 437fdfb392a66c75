#include "shared/ridge_output.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/data/preparation_file.hpp"

namespace mercer::drivers {

std::string score_unit(const RidgeJob& job, const data::Preparation& preparation) {
  const std::string unit = prepared_unit(preparation);
  return job.score == krr::RidgeCriterion::gcv ? fmt::format("({})^2", unit) : unit;
}

template <class T>
bool print_solution(const Session& session, const Solution<T>& solution, const std::string& unit) {
  const auto& fit = solution.fits[solution.best];
  const std::string relative =
      solution.mean_diagonal != 0
          ? fmt::format(" = {:.4e} trace(K)/n", fit.ridge / solution.mean_diagonal)
          : "; K is zero";
  session.say("\nridge {:.6e}{}; residual of the solve {:.1e} ({})", fit.ridge, relative,
              fit.residual, fit.residual_exact ? "exact" : "estimated");
  if (!solution.edge.empty()) session.say("edge    {}", solution.edge);
  if (!solution.estimates.empty()) session.say("scores  {}", solution.estimates);
  if (solution.chosen.has_value())
    session.say("score   {:.8g} +- {:.1e} in {}, estimated; {} ridges tried",
                solution.chosen->score, solution.chosen->error, unit, solution.tried.size());
  if (solution.fits.size() > 1 && solution.tried.empty())
    session.say("chosen  the ridge of the least leave-one-out error");
  if (solution.fits.size() > 1 && !solution.tried.empty())
    session.say(
        "chosen  the ridge of the least leave-one-out error, or a larger one where the estimate, "
        "here +- {:.1e}, does not tell them apart",
        solution.tried[solution.best].error);
  bool converged = true;
  for (std::size_t r = 0; r < solution.runs.size(); ++r) {
    const auto& run = solution.runs[r];
    if (solution.resumed && run.iterations == 0 && run.converged) {
      session.say("cg      ridge {:.3e}: done before, residual {:.1e}", solution.fits[r].ridge,
                  solution.fits[r].residual);
      continue;
    }
    session.say("cg      ridge {:.3e}: {}{}, {}{}, residual {:.1e}, M = {}", solution.fits[r].ridge,
                counted(run.iterations, "iteration"), solution.resumed ? " in all" : "",
                counted(run.products, "product"), solution.resumed ? " in this run" : "",
                solution.fits[r].residual, solution.preconditioner);
    if (!run.converged) session.warn_always(run.stagnation);
    converged = converged && run.converged;
  }
  return converged;
}

template <class T>
void note_solution(Session& session, const Solution<T>& solution, const std::string& unit) {
  const auto& fit = solution.fits[solution.best];
  auto& record = session.record();
  record.method = solution.method;
  record.residual = fit.residual;
  if (solution.pairs.has_value()) record.orthogonality = solution.pairs->orthogonality;
  auto& result = record.result;
  result["ridge"] = fit.ridge;
  if (solution.mean_diagonal != 0) result["ridge_relative"] = fit.ridge / solution.mean_diagonal;
  if (fit.loo_rmse >= 0) result["loo_exact"] = fit.loo_exact;
  if (solution.searched_to > 0) {
    result["ridge_searched"] = {solution.searched_from, solution.searched_to};
    result["ridge_edge"] = solution.edge_side.empty() ? "none" : solution.edge_side;
  }
  if (solution.top > 0) result["top"] = solution.top;
  if (!solution.estimates.empty()) result["score_estimates"] = solution.estimates;
  if (solution.chosen.has_value()) {
    result["score"] = solution.chosen->score;
    result["score_error"] = solution.chosen->error;
    result["units"]["score"] = unit;
  }
  if (solution.runs.empty()) return;
  const auto& run = solution.runs[solution.best];
  result["iterations"] = run.iterations;
  result["products"] = run.products;
  if (solution.resumed) result["products_counted"] = "since --resume";
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
                    const std::vector<RidgeErrors>& errors, const data::Preparation& preparation) {
  file.write("/ridge", std::vector<double>{solution.fits[solution.best].ridge});
  write_errors(file, "/score", {errors[solution.best]}, preparation);
  if (solution.fits.size() > 1) {
    std::vector<double> ridges;
    for (const auto& fit : solution.fits) ridges.push_back(fit.ridge);
    file.write("/path/ridge", ridges);
    write_errors(file, "/path", errors, preparation);
  }
  if (solution.tried.empty()) return;
  std::vector<double> ridges, scores, deviations;
  for (const auto& tried : solution.tried) {
    ridges.push_back(tried.ridge);
    scores.push_back(tried.score);
    deviations.push_back(tried.error);
  }
  file.write("/search/ridge", ridges);
  file.write("/search/score", scores);
  file.write("/search/error", deviations);
}

template <class T>
Calibration calibrate(const Solution<T>& solution, const data::Split& sets) {
  const auto& train = sets.train;
  if (!sets.preparation.one_hot) return {};
  if (!solution.runs.empty())
    return {.temperature = {},
            .text =
                "no class probabilities: they are calibrated by leave-one-out predictions from "
                "all eigenpairs, which --solver cg does not compute"};
  if (!solution.pairs.has_value() || solution.pairs->k() < train.rows())
    return {.temperature = {},
            .text =
                "no class probabilities: they are calibrated by leave-one-out predictions, which "
                "take all eigenpairs: --ridge loo, gcv or several, or --g identity"};
  const auto& best = solution.fits[solution.best];
  auto left_out = krr::SpectralPath<T>(*solution.pairs, solution.spectrum, train.targets)
                      .leave_one_out_errors(best.ridge);
  const auto y = train.targets.values();
  for (std::size_t i = 0; i < y.size(); ++i) left_out.values()[i] = y[i] - left_out.values()[i];
  const double temperature = krr::fit_temperature(left_out, train.labels);
  if (std::isinf(temperature))
    return {.temperature = temperature,
            .text = fmt::format(
                "class probabilities: 1/{} each, for the leave-one-out predictions tell no class "
                "from another",
                train.outputs())};
  const std::vector<double> classes(static_cast<std::size_t>(train.outputs()));
  return {
      .temperature = temperature,
      .text = fmt::format(
          "class probabilities: softmax(f/T), T = {:.4g} by the likelihood of the leave-one-out "
          "predictions (their log loss {:.5f}, accuracy {:.4f})",
          temperature, krr::log_loss(left_out, train.labels, temperature),
          krr::accuracy(left_out, train.labels, classes))};
}

#define MERCER_INSTANTIATE(T)                                                              \
  template bool print_solution<T>(const Session&, const Solution<T>&, const std::string&); \
  template void note_solution<T>(Session&, const Solution<T>&, const std::string&);        \
  template double accepted_error<T>(const RidgeJob&, const Solution<T>&);                  \
  template Calibration calibrate<T>(const Solution<T>&, const data::Split&);               \
  template void write_solution<T>(dist::Hdf5File&, const Solution<T>&,                     \
                                  const std::vector<RidgeErrors>&, const data::Preparation&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

namespace {

/// The options that a stored model needs again, and all that it may have: what the kernel is, and
/// how the training rows are read and prepared.
const std::vector<std::string> kModelOptions{
    "kernel",    "parameters", "arch",   "depth",  "activation", "weight-std",
    "bias-std",  "bandwidth",  "split",  "limit",  "scale",      "standardize",
    "unit-norm", "one-hot",    "target", "header", "index",      "seed"};

}  // namespace

std::string model_options(const CommandLine& line) {
  std::string text;
  for (const auto& [name, value] : line.settings())
    if (std::ranges::count(kModelOptions, name) != 0 && line.given(name))
      text += fmt::format("{}={}\n", name, value);
  return text;
}

void adopt_options(CommandLine& line, const StoredModel& model, const std::string& path) {
  line.adopt(model.options, kModelOptions, path);
}

void write_model(dist::Hdf5File& file, const StoredModel& model) {
  file.attribute("/", "options", model.options);
  file.attribute("/", "train", model.train);
  data::write(file, model.preparation);
  file.write("/alpha", model.alpha);
  if (model.temperature.has_value()) file.attribute("/", "temperature", *model.temperature);
}

StoredModel read_model(const dist::Hdf5File& file) {
  if (!file.contains("/alpha") || !file.has_attribute("/", "options"))
    throw InputError("--model {}: is no result of mercer-krr that can predict (no /alpha)",
                     file.path());
  StoredModel model;
  model.options = file.text_attribute("/", "options");
  model.train = file.text_attribute("/", "train");
  model.preparation = data::read_preparation(file);
  model.alpha =
      file.read_rows<double>("/alpha", file.count_attribute("/", "n", 1, dist::kMostCount),
                             std::max<Index>(1, model.preparation.outputs));
  model.ridge = file.read_number("/ridge");
  if (model.ridge < 0) throw InputError("{}: /ridge is {}, negative", file.path(), model.ridge);
  if (!file.has_attribute("/", "temperature")) return model;
  model.temperature = file.number_attribute("/", "temperature");  // infinite: all classes alike
  if (!(*model.temperature > 0) || !model.preparation.one_hot)
    throw InputError("{}: the attribute 'temperature' is {}: that of {} is wanted", file.path(),
                     *model.temperature,
                     model.preparation.one_hot ? "probabilities, positive," : "no classes, none,");
  return model;
}

}  // namespace mercer::drivers
