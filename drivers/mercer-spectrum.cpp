// The eigenpairs of a kernel matrix: data -> K -> eigenpairs, with measured residuals.

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

void plot_spectrum(const Session& session, const std::vector<double>& values,
                   const std::vector<double>& residuals, const std::string& path) {
  report::Series lambda{.label = "eigenvalue", .x = {}, .y = {}, .style = report::Style::linespoints};
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

template <class T>
int spectrum(const Job& job, const gram::Source& kernel, Session& session) {
  const auto& grid = session.grid();
  const auto train = session.phase("load", [&] {
    return kernel.is_stored() && job.data.empty()
               ? data::Dataset{}
               : data::load_inputs(job.data, job.preparation, session.comm());
  });
  const Index n = kernel.is_stored() ? kernel.stored_size(session.comm()) : train.rows();
  if (job.top > n) throw InputError("--top {}: there are only n = {} eigenpairs", job.top, n);
  const Index k = job.top < 0 ? n : job.top;
  const Index nb = job.common.nb > 0 ? job.common.nb : spectral::recommended_block(n, grid.shape());
  session.begin(n, train.dimension(), nb, kernel.text(), train.hash);

  spectral::Options options{.top = k, .vectors = !job.values_only, .seed = job.common.seed};
  options.method = spectral::parse_method(job.solver);
  options.tolerance = job.tolerance;
  options.say = [&](const std::string& text) { session.say("{}", text); };

  gram::Options assembly{.nb = nb, .progress = {}};
  if (session.stop_at_plan(plan<T>(session, kernel, train, k, assembly, options))) return 0;

  const auto assemble = [&] {
    return session.long_phase("assemble", [&](auto progress) {
      assembly.progress = progress;
      return gram::assemble<T>(kernel, train.inputs, grid, assembly);
    });
  };
  auto pairs = session.phase("eigensolve",
                             [&] { return spectral::eigenpairs(assemble(), options); });
  return 0;
}

}  // namespace
}  // namespace mercer::drivers
