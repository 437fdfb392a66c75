#include "shared/spectrum_output.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"

namespace mercer::drivers {

namespace {

/// What was measured of the vectors: residuals, and where it is known the orthogonality.
template <class T>
std::string measured(const jobs::Spectrum<T>& spectrum) {
  const auto& pairs = spectrum.pairs;
  const auto& accepted = spectrum.accepted;
  if (pairs.residuals.empty()) return ", no vectors to measure";
  auto text =
      fmt::format(", largest residual {:.1e} lambda_1 ({}; accepted up to {:.1e}{})",
                  spectrum.largest_residual(), pairs.residuals_exact ? "exact" : "estimated",
                  accepted.residual, accepted.why.empty() ? std::string() : ", " + accepted.why);
  if (pairs.orthogonality >= 0)
    text += fmt::format(", max |V^T V - I| = {:.1e}", pairs.orthogonality);
  return text;
}

void print_estimates(Session& session, const jobs::SpectrumEstimates& e) {
  session.say("\nestimates of the whole spectrum, from {}",
              counted(static_cast<Index>(e.density.nodes.size()), "probe"));
  session.say("  trace                   {:.10g} (exact)", e.trace);
  session.say("  lambda_min              at most {:.4e}; some eigenvalue within {:.1e} of that",
              e.density.smallest, e.density.smallest_residual);
  session.say("  at gamma                {:.6e}, {:.4g} trace(K)/n", e.ridge,
              e.ridge * static_cast<double>(e.density.n) / e.trace);
  const auto with_error = [](const spectral::Estimate& x, int digits) {
    return x.error > 0 ? fmt::format("{:.{}g} +- {:.2g}", x.value, digits, x.error)
                       : fmt::format("{:.10g} (exact, from all eigenvalues)", x.value);
  };
  session.say("  statistical dimension   {}", with_error(e.dimension, 6));
  session.say("  log det(K + gamma I)    {}", with_error(e.log_determinant, 8));
}

void note_estimates(Session& session, const jobs::SpectrumEstimates& e) {
  const auto with_error = [](const spectral::Estimate& x) {
    return nlohmann::ordered_json{{"value", x.value}, {"error", x.error}};
  };
  session.record().result["estimates"] = {{"ridge", e.ridge},
                                          {"trace", e.trace},
                                          {"lambda_min_bound", e.density.smallest},
                                          {"lambda_min_residual", e.density.smallest_residual},
                                          {"statistical_dimension", with_error(e.dimension)},
                                          {"log_determinant", with_error(e.log_determinant)}};
}

}  // namespace

template <class T>
void print_spectrum(Session& session, const jobs::Spectrum<T>& spectrum) {
  const auto& pairs = spectrum.pairs;
  session.say("\n{:>6}  {:>14}  {:>10}", "i", "lambda_i", "residual");
  const Index k = pairs.k();
  for (Index i = 0; i < k; ++i) {
    if (i == 10 && k > 12) {
      session.say("{:>6}", "...");
      i = k - 2;
    }
    const auto at = static_cast<std::size_t>(i);
    session.say("{:>6}  {:>14.8g}  {:>10}", i + 1, pairs.values[at],
                pairs.residuals.empty() ? "-" : fmt::format("{:.1e}", pairs.residuals[at]));
  }
  session.say("\ntrace {:.10g}{}{}", pairs.trace,
              pairs.trace_error >= 0
                  ? fmt::format(" (sum of eigenvalues off by {:.1e})", pairs.trace_error)
                  : "",
              measured(spectrum));
  if (spectrum.estimates.has_value()) print_estimates(session, *spectrum.estimates);
}

void print_evaluation(Session& session, const jobs::Evaluation& evaluation,
                      const std::vector<double>& values) {
  session.say("\neigenfunctions on {}", counted(evaluation.values.rows(), "new row"));
  if (evaluation.checks.empty()) return;
  session.say("{:>11}  {:>14}  {:>10}  {:>22}  {:>22}", "i", "lambda_i", "mean phi^2",
              "|G - I|_F in space", "|G|_F with others");
  const Index count = std::ssize(evaluation.checks);
  for (Index s = 0; s < count; ++s) {
    const auto& check = evaluation.checks[static_cast<std::size_t>(s)];
    if (count > 12 && s >= 10 && s < count - 2) {
      if (s == 10) session.say("{:>11}", "...");
      continue;
    }
    const Index first = check.space.first + 1, last = check.space.first + check.space.size;
    session.say("{:>11}  {:>14.8g}  {:>10.5f}  {:>10.2e} +- {:>8.1e}  {:>10.2e} +- {:>8.1e}",
                first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last),
                values[static_cast<std::size_t>(check.space.first)], check.square, check.deviation,
                check.deviation_error, check.mixing, check.mixing_error);
  }
  if (evaluation.cut && count == 1) {
    session.say(
        "the rows of K tell none of these eigenvalues from the next one: nothing is judged");
  } else {
    session.say(
        "functions of eigenvalues that the rows of K do not tell apart are one space; at most "
        "{:.1f} standard errors +- (by the sampling of both sets){}",
        evaluation.standard_errors,
        evaluation.cut ? "; without the last, which goes on beyond the pairs" : "");
  }
  auto& result = session.record().result;
  result["eval_rows"] = evaluation.values.rows();
  result["eval_spaces"] = count;
  if (!(evaluation.cut && count == 1)) result["eval_standard_errors"] = evaluation.standard_errors;
  session.record().flops += evaluation.flops;
}

void print_leverage(Session& session, const msk::LeverageScores& leverage, double trace) {
  const auto n = static_cast<double>(leverage.scores.rows());
  session.say(
      "\nridge leverage scores of {}, {}", counted(leverage.scores.rows(), "row"),
      leverage.exact() ? "from all eigenpairs" : "from the top eigenpairs and probes of the rest");
  session.say("{:>12}  {:>14}  {:>24}  {:>10}  {:>10}  {:>10}  {:>10}", "gamma", "gamma n/trace",
              "s = tr K (K+gamma I)^-1", "least l_i", "mean", "greatest", "error");
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (std::size_t r = 0; r < leverage.ridges.size(); ++r) {
    const auto scores = jobs::summary(leverage, r);
    const auto& s = leverage.dimension[r];
    const double gamma = leverage.ridges[r];
    session.say("{:>12.4e}  {:>14.4e}  {:>24}  {:>10.3e}  {:>10.3e}  {:>10.3e}  {:>10}", gamma,
                gamma * n / trace,
                leverage.exact() ? fmt::format("{:.8g}", s.value)
                                 : fmt::format("{:.6g} +- {:.2g}", s.value, s.error),
                scores.least, scores.mean, scores.greatest,
                leverage.exact() ? "-" : fmt::format("{:.1e}", scores.largest_error));
    rows.push_back({{"ridge", gamma},
                    {"relative", gamma * n / trace},
                    {"statistical_dimension", s.value},
                    {"error", s.error},
                    {"least_score", scores.least},
                    {"greatest_score", scores.greatest},
                    {"largest_score_error", scores.largest_error}});
  }
  if (!leverage.exact())
    session.say(
        "error: the largest standard error of a score; {} of the linear systems{}",
        counted(leverage.steps, "step"),
        leverage.converged ? "" : ", which did not all converge: larger ridges, or more pairs");
  auto& result = session.record().result;
  result["leverage"] = std::move(rows);
  result["leverage_exact"] = leverage.exact();
  if (!leverage.exact()) result["leverage_converged"] = leverage.converged;
}

namespace {

void print_numbers(Session& session, const jobs::Diagnostics& d, Index k) {
  const auto& condition = d.condition;
  session.say("\ndiagnostics, eigenvalues known to {:.1e} lambda_1", d.resolution);
  session.say("  condition number   {}{:.4g}, lambda_1/lambda_{}{}", condition.at_least ? "> " : "",
              condition.value, k,
              condition.whole ? std::string() : fmt::format(" of the top {} alone", k));
  session.say("  trace              {:.6g}, of which {:.4g} in these {}", d.trace,
              d.in_pairs / d.trace, counted(k, "eigenvalue"));
  for (const auto& rank : d.ranks)
    session.say("  rank of F^(1/2)    {}{} above {:g} lambda_1^(1/2){}", rank.at_least ? ">= " : "",
                rank.count, rank.epsilon, rank.resolved ? "" : ", below rounding");
  if (!d.decay.has_value()) {
    session.say("  {}", d.no_decay);
    return;
  }
  session.say("  decay over i = {} ... {}, by {} of consecutive eigenvalues:", d.decay->first,
              d.decay->last, counted(d.decay->points, "mean"));
  for (std::size_t f = 0; f < d.decay->fits.size(); ++f) {
    const auto& fit = d.decay->fits[f];
    session.say("    {:<30}+- {:.2g}, rms of the logarithm {:.3f}{}", spectral::text(fit),
                fit.error, fit.residual, f == d.decay->best ? ", fits best" : "");
  }
}

/// A row for each space: steps and, where it is known, alignment.
void print_spaces(Session& session, const jobs::Diagnostics& d, const std::vector<double>& values) {
  const auto& parts = d.alignment;
  session.say("\n{:>11}  {:>14}  {:>12}{}", "i", "lambda_i", "steps",
              parts.has_value() ? fmt::format("  {:>12}  {:>12}", "aligned", "cumulative") : "");
  const Index count = std::ssize(d.spaces);
  double sum = 0;
  for (Index s = 0; s < count; ++s) {
    const bool known = parts.has_value() && s < parts->spaces;
    const double part = known ? parts->total[static_cast<std::size_t>(s)] : 0;
    sum += part;
    if (count > 12 && s >= 10 && s < count - 2) {
      if (s == 10) session.say("{:>11}", "...");
      continue;
    }
    const auto& space = d.spaces[static_cast<std::size_t>(s)];
    const auto first = static_cast<std::size_t>(space.first);
    session.say("{:>11}  {:>14.8g}  {:>12.4g}{}",
                space.size == 1 ? fmt::format("{}", first + 1)
                                : fmt::format("{}-{}", first + 1, space.first + space.size),
                values[first], d.steps[first],
                known ? fmt::format("  {:>12.4e}  {:>12.6f}", part, sum) : "");
  }
  session.say("steps of descent to 1/{:g} of the residual, eta = 1/(n lambda_1) = {:.4g}",
              d.reduction, d.rate);
}

void print_alignment(Session& session, const jobs::Diagnostics& d) {
  if (!d.alignment.has_value()) {
    session.say("{}", with_options(d.no_alignment));
    return;
  }
  const auto& a = *d.alignment;
  session.say("aligned: (v_i^T y)^2/|y|^2 of {}; outside {} {:.4e}",
              a.columns > 1 ? fmt::format("all {} columns of the targets", a.columns)
                            : std::string("the target"),
              a.spaces < std::ssize(d.spaces)
                  ? "all spaces but the last, which goes on beyond these,"
                  : "these",
              a.outside_total);
  if (a.kernel_alignment.empty()) return;
  const auto [least, most] = std::ranges::minmax(a.kernel_alignment);
  session.say("kernel-target alignment y^T K y/(|K|_F |y|^2): {}",
              a.columns > 1 ? fmt::format("{:.4f} ... {:.4f} by column", least, most)
                            : fmt::format("{:.4f}", most));
}

nlohmann::ordered_json note_decay(const spectral::Decay& decay) {
  constexpr const char* kNames[] = {"power", "root_exponential", "exponential"};
  nlohmann::ordered_json json{
      {"first", decay.first}, {"last", decay.last}, {"points", decay.points}};
  for (std::size_t f = 0; f < decay.fits.size(); ++f) {
    const auto& fit = decay.fits[f];
    json[kNames[f]] = {
        {"C", fit.C}, {"exponent", fit.exponent}, {"error", fit.error}, {"residual", fit.residual}};
  }
  json["best"] = kNames[decay.best];
  return json;
}

}  // namespace

void print_diagnostics(Session& session, const jobs::Diagnostics& d,
                       const std::vector<double>& values) {
  print_numbers(session, d, std::ssize(values));
  print_spaces(session, d, values);
  print_alignment(session, d);
  nlohmann::ordered_json json{{"condition", d.condition.value},
                              {"condition_of_all_pairs", d.condition.whole},
                              {"condition_is_lower_bound", d.condition.at_least},
                              {"resolution", d.resolution},
                              {"spaces", std::ssize(d.spaces)},
                              {"rate", d.rate},
                              {"steps_k", d.steps.back()}};
  for (const auto& rank : d.ranks)
    json["ranks"].push_back({{"epsilon", rank.epsilon},
                             {"rank", rank.count},
                             {"at_least", rank.at_least},
                             {"resolved", rank.resolved}});
  if (d.decay.has_value()) json["decay"] = note_decay(*d.decay);
  if (d.alignment.has_value()) {
    json["alignment_outside"] = d.alignment->outside_total;
    json["alignment_outside_by_column"] = d.alignment->outside;
    json["kernel_alignment"] = d.alignment->kernel_alignment;
    session.record().flops += 2 * static_cast<double>(d.alignment->columns) *
                              static_cast<double>(session.record().n) *
                              static_cast<double>(values.size());
  }
  session.record().result["diagnostics"] = std::move(json);
}

template <class T>
void note_spectrum(Session& session, const jobs::Spectrum<T>& spectrum) {
  const auto& pairs = spectrum.pairs;
  const auto& accepted = spectrum.accepted;
  auto& record = session.record();
  record.flops = spectrum.flops;
  record.method = spectral::name(pairs.method);
  record.residual = spectrum.largest_residual();
  record.orthogonality = pairs.orthogonality;
  if (!pairs.residuals.empty()) {
    record.result["residuals"] = pairs.residuals_exact ? "exact" : "estimated";
    record.result["residual_accepted"] = accepted.residual;
    if (!accepted.why.empty()) record.result["residual_accepted_for"] = accepted.why;
  }
  record.result["eigenvalue_max"] = pairs.values.front();
  record.result["eigenvalue_k"] = pairs.values.back();
  record.result["eigenvalue_next"] = pairs.next;
  record.result["trace"] = pairs.trace;
  record.result["k"] = pairs.k();
  record.result["method_reason"] = with_options(pairs.reason);
  if (spectrum.iterative) {
    record.result["products"] = spectrum.products;
    record.result["restarts"] = spectrum.restarts;
    record.result["block"] = spectrum.block;
    record.result["basis"] = spectrum.basis;
    record.result["storage"] = spectrum.storage;
    record.result["stored_share"] = spectrum.stored_share;
    record.result["warning"] = spectrum.warning;
  }
  if (spectrum.estimates.has_value()) note_estimates(session, *spectrum.estimates);
}

template void print_spectrum<double>(Session&, const jobs::Spectrum<double>&);
template void print_spectrum<float>(Session&, const jobs::Spectrum<float>&);
template void note_spectrum<double>(Session&, const jobs::Spectrum<double>&);
template void note_spectrum<float>(Session&, const jobs::Spectrum<float>&);

}  // namespace mercer::drivers
