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
  session.say("  statistical dimension   {:.6g} +- {:.2g}", e.dimension.value, e.dimension.error);
  session.say("  log det(K + gamma I)    {:.8g} +- {:.2g}", e.log_determinant.value,
              e.log_determinant.error);
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
  session.say(
      "at most {:.1f} standard errors by the sampling of the new rows, beyond {:.3f} = n^-1/2 "
      "a function for that of K's rows",
      evaluation.excess, evaluation.own_error);
  auto& result = session.record().result;
  result["eval_rows"] = evaluation.values.rows();
  result["eval_spaces"] = count;
  result["eval_standard_errors"] = evaluation.excess;
  session.record().flops += evaluation.flops;
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
