#include "mercer/jobs/ridge.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/krr/predict.hpp"
#include "mercer/krr/score.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {

using dist::RowBlock;

std::string ridges_text(const RidgeOptions& options) {
  if (options.choice.has_value()) return name(*options.choice);
  return fmt::format("{}{}", fmt::join(options.ridges, ","), options.relative ? " relative" : "");
}

std::string what_scores_estimate(const RidgeOptions& options) {
  if (options.time.asked())
    return "leave-one-out and gcv are those of the linear smoother of all rows, Y -> F; holdout is "
           "the "
           "error on rows that the training leaves out";
  if (!options.modified()) return "";
  return "leave-one-out estimates, from the S of all rows, the error of refitting without each "
         "row, "
         "S included; gcv and holdout are of the fixed matrix K_g, whose spectrum is that of all "
         "rows";
}

msk::SpectrumMap spectrum_map(const RidgeOptions& options) {
  return msk::SpectrumMap::parse(options.modified() ? options.map() : "identity");
}

namespace {

/// Sets fit.temperature, that of largest likelihood for the leave-one-out predictions Y - e of the
/// best fit, where targets are one-hot and all eigenpairs are known; and fit.calibration.
/// Collective, 2 n^2 (2 c + 1) flops, 2 n^2 (3 c + 2) for a modified kernel.
template <class T>
void calibrate(const data::Split& sets, RidgeFit& fit) {
  const auto& train = sets.train;
  const auto& pairs = pairs_of<T>(fit);
  if (!sets.preparation.one_hot) return;
  if (fit.best_fit().fitted.rows() > 0) {
    fit.calibration =
        "no class probabilities: they are those of ridge regression, not of training times";
    return;
  }
  if (!fit.runs.empty()) {
    fit.calibration =
        "no class probabilities: they are calibrated by leave-one-out predictions from all "
        "eigenpairs, which `solver` cg does not compute";
    return;
  }
  if (!pairs.has_value() || pairs->k() < train.rows()) {
    fit.calibration =
        "no class probabilities: they are calibrated by leave-one-out predictions, which need all "
        "eigenpairs: give `choice` loo or gcv, several ridges, or `g` identity";
    return;
  }
  auto left_out = krr::SpectralPath<T>(*pairs, fit.spectrum, train.targets)
                      .leave_one_out_errors(fit.best_fit().ridge);
  const auto y = train.targets.values();
  for (std::size_t i = 0; i < y.size(); ++i) left_out.values()[i] = y[i] - left_out.values()[i];
  const double temperature = krr::fit_temperature(left_out, train.labels);
  fit.temperature = temperature;
  if (std::isinf(temperature)) {
    fit.calibration = fmt::format(
        "class probabilities: 1/{} each, because the leave-one-out predictions do not distinguish "
        "the classes",
        train.outputs());
    return;
  }
  const std::vector<double> classes(static_cast<std::size_t>(train.outputs()));
  fit.calibration = fmt::format(
      "class probabilities: softmax(f/T), T = {:.4g} by the likelihood of the leave-one-out "
      "predictions (their log loss {:.5f}, accuracy {:.4f})",
      temperature, krr::log_loss(left_out, train.labels, temperature),
      krr::accuracy(left_out, train.labels, classes));
}

template <class T>
RidgeFit fit_in(const RidgePlan& plan, const data::Split& sets, const dist::ProcessGrid& grid,
                Monitor& monitor) {
  auto result = plan.strategy.iterative ? fit_iteratively(plan, sets.train, grid, monitor)
                                        : fit_directly<T>(plan, sets.train, grid, monitor);
  calibrate<T>(sets, result);
  return result;
}

/// R <- S R for the S of the fit's pairs on the grid. Collective.
template <class T>
void precondition_in(const RidgePlan& plan, const RidgeFit& fit, const dist::ProcessGrid& grid,
                     RowBlock<double>& R) {
  RowBlock<T> rows(grid.all(), R.rows(), R.cols());
  std::ranges::copy(R.values(), rows.values().begin());
  dist::DistMatrix<T> on_grid(grid, R.rows(), R.cols(), plan.nb);
  dist::copy(rows, on_grid);
  msk::GridPreconditioner<T>(*pairs_of<T>(fit), fit.spectrum).apply(on_grid);
  dist::copy(on_grid, rows);
  std::ranges::copy(rows.values(), R.values().begin());
}

void precondition(const RidgePlan& plan, const RidgeFit& fit, const dist::ProcessGrid& grid,
                  RowBlock<double>& R) {
  if (fit.S.has_value())
    fit.S->apply(grid.all(), R.transposed(), R.transposed());
  else if (plan.single())
    precondition_in<float>(plan, fit, grid, R);
  else
    precondition_in<double>(plan, fit, grid, R);
}

}  // namespace

bool RidgeFit::converged() const {
  return std::ranges::all_of(runs, [](const CgRun& run) { return run.converged; });
}

RidgeFit fit(const RidgePlan& plan, const data::Split& sets, const dist::ProcessGrid& grid,
             Monitor& monitor) {
  if (plan.options.transductive)
    throw InputError("`transductive`: the plan is for transductive predictions, not for a fit");
  require_planned(plan.rows_hash, sets.train);
  plan.stages.require_memory();
  require_new_checkpoint(grid.all(), plan.options.checkpoints);
  check_images(plan.kernel, sets.train);
  check_range(plan.kernel, sets.train.inputs, monitor);
  return plan.single() ? fit_in<float>(plan, sets, grid, monitor)
                       : fit_in<double>(plan, sets, grid, monitor);
}

namespace {

double accepted_error(const RidgePlan& plan, const RidgeFit& fit) {
  double error = plan.single() ? 1e-5 : 1e-12;
  if (!fit.runs.empty()) error = std::max(error, 2 * plan.options.cg_tol);
  error = std::max(error, 2 * fit.pairs_residual);
  if (fit.storage == "single" || fit.storage == "mixed") error = std::max(error, 1e-7);
  return error;
}

}  // namespace

RidgeCheck check(const RidgePlan& plan, const RidgeFit& fit, const data::Dataset& train,
                 const dist::ProcessGrid& grid, Monitor& monitor) {
  const Monitor::Phase scope(monitor, "check");
  const auto& comm = grid.all();
  const auto& best = fit.best_fit();
  auto residual = gram::apply(plan.kernel, train.inputs, best.alpha,
                              {.panel_bytes = plan.panel_bytes, .nb = plan.nb});
  const bool timed = plan.options.time.asked();
  const double ridge = timed ? 0 : best.ridge;
  const auto y = timed ? best.fitted.values() : train.targets.values();
  for (std::size_t i = 0; i < y.size(); ++i) residual.values()[i] = y[i] - residual.values()[i];
  if (!timed && plan.options.modified()) precondition(plan, fit, grid, residual);
  double sums[3] = {0, 0, 0};  // sums of squares of residual, Y, alpha
  const auto a = best.alpha.values();
  for (std::size_t i = 0; i < y.size(); ++i) {
    sums[0] += std::pow(residual.values()[i] - ridge * a[i], 2);
    sums[1] += y[i] * y[i];
    sums[2] += a[i] * a[i];
  }
  comm.all_reduce(std::span<double>(sums), comm::Op::sum);
  const double trace = fit.mean_diagonal * static_cast<double>(train.rows());
  const double scale = std::sqrt(sums[1]) + trace * std::sqrt(sums[2]);
  return {.error = scale == 0 ? std::sqrt(sums[0]) : std::sqrt(sums[0]) / scale,
          .tolerance = accepted_error(plan, fit)};
}

PathErrors errors_along(const RidgePlan& plan, const RidgeFit& fit, const data::Split& sets,
                        Monitor& monitor) {
  const Index c = sets.train.outputs();
  const bool timed = plan.options.time.asked();
  PathErrors result;
  dist::RowBlock<double> all;
  if (sets.test.has_value()) {
    auto kernel = plan.kernel;  // verified for other rows, maybe, than those planned for
    for (const auto& line :
         kernel.verify_cross(sets.train.inputs.comm(), identity_of("test", *sets.test),
                             identity_of("training", sets.train)))
      monitor.log("kernel", line);
    auto sizes = plan.sizes;
    sizes.m = sets.test->rows();
    sizes.c = c * std::ssize(fit.fits);
    result.flops = gram::apply_cross_cost(sizes).flops;
    all = monitor.phase("predict", [&] {
      return gram::apply_cross(kernel, sets.test->inputs, sets.train.inputs,
                               krr::side_by_side(fit.fits),
                               {.panel_bytes = plan.panel_bytes, .progress = monitor.shares()});
    });
  }
  auto& errors = result.errors;
  for (std::size_t r = 0; r < fit.fits.size(); ++r) {
    errors.push_back(errors_of(fit.fits[r], sets.preparation));
    if (timed) {
      errors.back().time = fit.fits[r].time;
      result.train.push_back(fit.fits[r].fitted.copy());
      data::to_target_units(sets.preparation.standardization, result.train.back());
    }
    if (!sets.test.has_value()) continue;
    const bool is_best = r == fit.best;
    auto predictions = evaluate(dist::take_columns(all, static_cast<Index>(r) * c, c), *sets.test,
                                sets.preparation, is_best ? fit.temperature : std::nullopt);
    errors.back().scores = predictions.scores;
    if (timed) result.test.push_back(predictions.values.copy());
    if (is_best) result.best = std::move(predictions);
  }
  return result;
}

namespace {

void write_times(io::Hdf5File& file, const RidgeFit& fit, const PathErrors& along,
                 const data::Preparation& preparation) {
  std::vector<double> times, steps, fitted, predicted;
  for (const auto& one : fit.fits) {
    times.push_back(one.time);
    fitted.push_back(one.rest_fitted);
    predicted.push_back(one.rest_predicted);
    if (fit.step > 0) steps.push_back(std::round(one.time / fit.step));
  }
  file.write("/at_time/t", times);
  if (fit.step > 0) file.write("/at_time/steps", steps);
  if (std::ssize(fit.spectrum.lambda) < fit.best_fit().alpha.rows()) {
    file.write("/at_time/rest_fitted", fitted);
    file.write("/at_time/rest_predicted", predicted);
  }
  write_errors(file, "/at_time", along.errors, preparation);
  file.write_stack("/at_time/train", std::span(along.train));
  if (!along.test.empty()) file.write_stack("/at_time/test", std::span(along.test));
}

}  // namespace

void write(io::Hdf5File& file, const RidgeFit& fit, const PathErrors& along,
           const data::Preparation& preparation) {
  const auto& errors = along.errors;
  if (errors.size() != fit.fits.size())
    throw InputError("errors of {} ridges for a fit of {}", errors.size(), fit.fits.size());
  write_errors(file, "/score", {errors[fit.best]}, preparation);
  if (!along.train.empty()) {
    write_times(file, fit, along, preparation);
  } else if (fit.fits.size() > 1) {
    std::vector<double> ridges;
    for (const auto& one : fit.fits) ridges.push_back(one.ridge);
    file.write("/path/ridge", ridges);
    write_errors(file, "/path", errors, preparation);
  }
  if (fit.tried.empty()) return;
  std::vector<double> ridges, scores, deviations;
  for (const auto& tried : fit.tried) {
    ridges.push_back(tried.ridge);
    scores.push_back(tried.score);
    deviations.push_back(tried.error);
  }
  file.write("/search/ridge", ridges);
  file.write("/search/score", scores);
  file.write("/search/error", deviations);
}

namespace {

template <class T>
Transduction transduce_in(const RidgePlan& plan, const data::Split& sets,
                          const dist::ProcessGrid& grid, Monitor& monitor) {
  const auto& options = plan.options;
  const auto& kernel = plan.kernel.kernel();
  const Index n = sets.train.rows(), N = n + sets.test->rows();
  Transduction result;
  result.ridge = options.ridges.front();
  if (options.relative)
    result.ridge =
        options.gammas(gram::trace(kernel, sets.train.inputs) / static_cast<double>(n)).front();
  typename krr::Transductive<T>::Options how;
  how.gram.nb = plan.nb;
  how.spectral.top = options.top < 0 ? N : options.top;
  how.spectral.method = plan.strategy.eigensolver;
  how.spectral.reason = plan.strategy.eigensolver_reason;
  how.spectral.seed = plan.seed;
  const auto predictor = monitor.phase("eigensolve", [&] {
    return krr::Transductive<T>(kernel, sets.train.inputs, sets.test->inputs, grid,
                                spectrum_map(options), how);
  });
  for (const auto& line : predictor.cut().notes()) monitor.log("g", line);
  if (const auto warning = predictor.cut().warning(); !warning.empty()) monitor.warn(warning);
  auto f =
      monitor.phase("solve", [&] { return predictor.predict(sets.train.targets, result.ridge); });
  result.values = std::move(f.values);
  result.residual = f.residual;
  result.tolerance = plan.single() ? 1e-3 : 1e-8;
  result.spectrum = predictor.spectrum();
  return result;
}

}  // namespace

Transduction transduce(const RidgePlan& plan, const data::Split& sets,
                       const dist::ProcessGrid& grid, Monitor& monitor) {
  if (!plan.options.transductive)
    throw InputError("`transductive`: the plan is for a fit, not for transductive predictions");
  require_planned(plan.rows_hash, sets.train);
  plan.stages.require_memory();
  check_images(plan.kernel, sets.train);
  check_range(plan.kernel, sets.train.inputs, monitor);
  return plan.single() ? transduce_in<float>(plan, sets, grid, monitor)
                       : transduce_in<double>(plan, sets, grid, monitor);
}

}  // namespace mercer::jobs
