#include "shared/spectrum_output.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/report/plot.hpp"

namespace mercer::drivers {

double largest_residual(const std::vector<double>& residuals) {
  if (residuals.empty()) return -1;
  double largest = 0;
  for (const double r : residuals)
    if (!(r <= largest)) largest = std::isnan(r) ? INFINITY : r;
  return largest;
}

namespace {

/// What was measured of the vectors; nothing is said of what was not.
template <class T>
std::string measured(const spectral::Eigenpairs<T>& pairs, const Accepted& accepted) {
  if (pairs.residuals.empty()) return ", no vectors to measure";
  auto text =
      fmt::format(", largest residual {:.1e} lambda_1 ({}; accepted up to {:.1e}{})",
                  largest_residual(pairs.residuals), pairs.residuals_exact ? "exact" : "estimated",
                  accepted.residual, accepted.why.empty() ? std::string() : ", " + accepted.why);
  if (pairs.orthogonality >= 0)
    text += fmt::format(", max |V^T V - I| = {:.1e}", pairs.orthogonality);
  return text;
}

}  // namespace

template <class T>
void print_spectrum(const Session& session, const spectral::Eigenpairs<T>& pairs,
                    const Accepted& accepted) {
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
              measured(pairs, accepted));
}

template <class T>
void note_spectrum(Session& session, const spectral::Eigenpairs<T>& pairs,
                   const Accepted& accepted) {
  auto& record = session.record();
  record.method = spectral::name(pairs.method);
  record.residual = largest_residual(pairs.residuals);
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
  record.result["method_reason"] = pairs.reason;
}

void plot_spectrum(const Session& session, const std::vector<double>& values,
                   const std::vector<double>& residuals) {
  report::Series lambda{
      .label = "eigenvalue", .x = {}, .y = {}, .style = report::Style::linespoints};
  report::Series residual{.label = "residual", .x = {}, .y = {}, .style = report::Style::points};
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0) {
      lambda.x.push_back(static_cast<double>(i + 1));
      lambda.y.push_back(values[i]);
    }
    if (i < residuals.size() && residuals[i] > 0) {
      residual.x.push_back(static_cast<double>(i + 1));
      residual.y.push_back(residuals[i]);
    }
  }
  report::Plot spectrum{.title = "Eigenvalues of K",
                        .x_label = "i",
                        .y_label = "lambda_i",
                        .log_x = true,
                        .log_y = true,
                        .series = {lambda}};
  report::Plot accuracy{.title = "Measured residuals",
                        .x_label = "i",
                        .y_label = "|K v_i - lambda_i v_i| / lambda_1",
                        .log_x = true,
                        .log_y = true,
                        .series = {residual}};
  std::vector<report::Plot> panels{spectrum};
  if (!residual.x.empty()) panels.push_back(accuracy);
  session.draw(panels);
}

void print_estimates(const Session& session, const SpectrumEstimates& e) {
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

void note_estimates(Session& session, const SpectrumEstimates& e) {
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

void write_estimates(dist::Hdf5File& file, const SpectrumEstimates& e) {
  std::vector<std::pair<double, double>> density;
  const double share =
      static_cast<double>(e.density.n) / static_cast<double>(e.density.nodes.size());
  for (std::size_t z = 0; z < e.density.nodes.size(); ++z)
    for (std::size_t j = 0; j < e.density.nodes[z].size(); ++j)
      density.emplace_back(e.density.nodes[z][j], share * e.density.weights[z][j]);
  std::ranges::sort(density);
  std::vector<double> nodes, weights;
  for (const auto& [node, weight] : density) {
    nodes.push_back(node);
    weights.push_back(weight);
  }
  file.write("/density/node", nodes);
  file.write("/density/weight", weights);
  file.write("/estimates/ridge", std::vector<double>{e.ridge});
  file.write("/estimates/trace", std::vector<double>{e.trace});
  file.write("/estimates/lambda_min_bound", std::vector<double>{e.density.smallest});
  const auto with_error = [&](const std::string& name, const spectral::Estimate& x) {
    file.write("/estimates/" + name, std::vector<double>{x.value});
    file.attribute("/estimates/" + name, "error", x.error);
  };
  with_error("statistical_dimension", e.dimension);
  with_error("log_determinant", e.log_determinant);
}

template void print_spectrum<double>(const Session&, const spectral::Eigenpairs<double>&,
                                     const Accepted&);
template void print_spectrum<float>(const Session&, const spectral::Eigenpairs<float>&,
                                    const Accepted&);
template void note_spectrum<double>(Session&, const spectral::Eigenpairs<double>&, const Accepted&);
template void note_spectrum<float>(Session&, const spectral::Eigenpairs<float>&, const Accepted&);

}  // namespace mercer::drivers
