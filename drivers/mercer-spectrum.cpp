// The eigenpairs of a kernel matrix: data -> K -> eigenpairs, with measured residuals.

#include <algorithm>
#include <cmath>

#include "mercer/gram/source.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/report/plot.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {
namespace {

struct Job {
  CommonOptions common;
  std::string data, unused;
  data::Options preparation;
  Index top = -1;
  bool values_only = false;
  std::string solver = "auto";
  double tolerance = 1e-10;
};

/// The first eigenvalues as a table, and what was measured of all of them.
template <class T>
void print_spectrum(const Session& session, const spectral::Eigenpairs<T>& pairs) {
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
  session.say(
      "\ntrace {:.10g}{}, largest residual {} ({}), max |V^T V - I| = {:.1e}", pairs.trace,
      pairs.trace_error >= 0 ? fmt::format(" (sum of eigenvalues off by {:.1e})", pairs.trace_error)
                             : "",
      pairs.residuals.empty() ? "-"
                              : fmt::format("{:.1e}", *std::ranges::max_element(pairs.residuals)),
      pairs.residuals_exact ? "exact" : "estimated", pairs.orthogonality);
}

void plot_spectrum(const Session& session, const std::vector<double>& values,
                   const std::vector<double>& residuals, const std::string& path) {
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
  report::write_svg(session.comm(), path, panels);
}

/// Memory and flops of the job: K with the panels it is assembled from, then the solver's own plan.
template <class T>
Plan plan(const Session& session, const gram::Source& kernel, const data::Dataset& train, Index n,
          const gram::Options& assembly, const spectral::Options& options) {
  const auto shape = session.grid().shape();
  const double size = static_cast<double>(n);
  const double data = 8.0 * size * static_cast<double>(train.dimension()) / session.comm().size();
  const double share = sizeof(T) * size * size / session.comm().size();
  const auto method =
      options.method != spectral::Method::automatic
          ? options.method
          : spectral::choose(n, options.top, options.vectors, shape, std::is_same_v<T, float>)
                .method;
  const auto solve = spectral::plan(n, options.top, options.vectors, method, shape, assembly.nb,
                                    std::is_same_v<T, float>);
  Plan plan = session.plan();
  plan.stage("load", 2 * data, 0);
  const double overhead =
      kernel.is_stored()
          ? share
          : gram::assemble_overhead(kernel.kernel(), n, train.dimension(), shape, assembly);
  plan.stage("assemble", data + share + overhead,
             size * size * static_cast<double>(train.dimension()));
  plan.stage("eigensolve", data + solve.bytes_per_rank, solve.flops, spectral::name(method));
  return plan;
}

template <class T>
int spectrum(const Job& job, const gram::Source& kernel, Session& session) {
  const auto& grid = session.grid();
  const auto train = session.phase("load", [&] {
    return job.data.empty() ? data::Dataset{}
                            : data::load_inputs(job.data, job.preparation, session.comm());
  });
  const Index n = kernel.is_stored() ? kernel.stored_size(session.comm()) : train.rows();
  if (job.top > n || job.top == 0 || job.top < -1)
    throw InputError("--top {}: give 1 ... n = {} eigenpairs", job.top, n);
  const Index nb = job.common.nb > 0 ? job.common.nb : spectral::recommended_block(n, grid.shape());
  session.begin(n, train.dimension(), nb, kernel.text(), train.hash);

  const gram::Options assembly{.nb = nb};
  spectral::Options options{
      .top = job.top < 0 ? n : job.top,
      .vectors = !job.values_only,
      .method = spectral::parse_method(job.solver),
      .seed = job.common.seed,
      .say = [&](const std::string& text) { session.say("solver  {}", text); }};
  if (session.stop_at_plan(plan<T>(session, kernel, train, n, assembly, options))) return 0;

  session.warn_of_kernel_error(kernel, train.inputs);
  const auto assemble = [&](const std::string& phase) {
    return session.long_phase(phase, [&](auto progress) {
      return gram::assemble<T>(kernel, train.inputs, grid, {.nb = nb, .progress = progress});
    });
  };
  auto K = assemble("assemble");
  auto pairs =
      session.phase("eigensolve", [&] { return spectral::eigenpairs(std::move(K), options); });
  if (job.common.check && options.vectors) {
    const auto again = assemble("check");
    spectral::measure_residuals(again, pairs);
  }
  const double residual = pairs.residuals.empty() ? -1 : *std::ranges::max_element(pairs.residuals);
  const bool ok = !options.vectors || (residual <= job.tolerance);

  print_spectrum(session, pairs);
  auto& record = session.record();
  record.method = spectral::name(pairs.method);
  record.residual = residual;
  record.orthogonality = pairs.orthogonality;
  record.result["eigenvalue_max"] = pairs.values.front();
  record.result["eigenvalue_k"] = pairs.values.back();
  record.result["eigenvalue_next"] = pairs.next;
  record.result["trace"] = pairs.trace;
  record.result["k"] = pairs.k();
  record.result["method_reason"] = pairs.reason;
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      spectral::write(file, pairs);
      file.finish();
    });
  if (!job.common.plot.empty())
    plot_spectrum(session, pairs.values, pairs.residuals, job.common.plot);
  if (!ok)
    session.warn(
        fmt::format("the largest residual {:.2e} exceeds --tol {:.2e}", residual, job.tolerance));
  return session.finish(ok);
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  namespace po = boost::program_options;
  return run(argc, argv, "mercer-spectrum", [&](const mercer::comm::Communicator& comm) {
    Job job;
    CommandLine line(
        "mercer-spectrum", "--data SPEC [options]",
        "Eigenpairs of the kernel matrix K = (1/n) [k(x_i, x_j)], descending, every pair with\n"
        "the residual that Mercer measured.");
    line.add_data(job.preparation, job.data, job.unused, false);
    line.add_kernel();
    auto add = line.group("Spectrum").add_options();
    add("top", po::value(&job.top)->value_name("K")->default_value(-1, "n"),
        "how many of the largest eigenvalues");
    add("values-only", po::bool_switch(&job.values_only), "no eigenvectors");
    add("solver", po::value(&job.solver)->value_name("NAME")->default_value("auto"),
        "auto, elpa1, elpa2, scalapack, lapack");
    add("tol", po::value(&job.tolerance)->value_name("E")->default_value(1e-10, "1e-10"),
        "largest residual |K v - lambda v|/lambda_1 that is accepted");
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    const auto kernel = line.kernel_source(comm);
    if (job.data.empty() && !kernel.is_stored())
      throw mercer::InputError("--data: give the data set, e.g. --data circle:n=512,freq=5");
    if (!job.unused.empty())
      throw mercer::InputError("--data2: only mercer-kernel takes a second set");
    job.preparation.seed = job.common.seed;
    Session session(line, job.common, comm);
    return job.common.single_precision ? spectrum<float>(job, kernel, session)
                                       : spectrum<double>(job, kernel, session);
  });
}
