// A kernel matrix to a file: data -> k(x_i, z_j), not divided by n.

#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {
namespace {

struct Job {
  CommonOptions common;
  std::string data, data2;
  data::Options preparation;
};

/// Largest difference between the stored matrix times a few random columns and the same product
/// from entries evaluated again, relative to the largest element: finds whatever assembling,
/// mirroring and moving may have done wrong.
template <class T>
double check(const dist::DistMatrix<T>& K, const kernel::Kernel& kernel, const data::Dataset& X,
             const data::Dataset& Z) {
  const auto& comm = K.grid().all();
  const Random random(0, Stream::probe, 1);
  dist::RowBlock<double> W(comm, Z.rows(), 4);
  for (Index i = 0; i < W.local_rows(); ++i)
    for (Index c = 0; c < 4; ++c)
      W.row(i)[static_cast<std::size_t>(c)] =
          random.normal(static_cast<std::uint64_t>((W.first_row() + i) * 4 + c));
  const auto again = gram::apply_cross(kernel, X.inputs, Z.inputs, W);
  dist::RowBlock<T> stored(comm, K.rows(), K.cols());
  dist::copy(K, stored);
  const auto weights = dist::all_rows(W);
  double difference = 0, largest = 0;
  bool finite = true;
  for (Index i = 0; i < stored.local_rows(); ++i)
    for (Index c = 0; c < 4; ++c) {
      double sum = 0;
      for (Index j = 0; j < K.cols(); ++j)
        sum += static_cast<double>(stored.row(i)[static_cast<std::size_t>(j)]) * weights(c, j);
      sum /= static_cast<double>(K.cols());
      const double other = again.row(i)[static_cast<std::size_t>(c)];
      finite = finite && std::isfinite(sum);
      difference = std::max(difference, std::abs(sum - other));
      largest = std::max(largest, std::abs(other));
    }
  if (!(comm.all_reduce(finite ? 1.0 : 0.0, comm::Op::min) > 0)) return INFINITY;
  largest = comm.all_reduce(largest, comm::Op::max);
  difference = comm.all_reduce(difference, comm::Op::max);
  return largest > 0 ? difference / largest : difference;
}

template <class T>
int kernel_matrix(const Job& job, const gram::Source& source, Session& session) {
  const auto& grid = session.grid();
  const auto& kernel = source.kernel();
  const bool cross = !job.data2.empty();
  // The second set is prepared as a test set is: standardised by the first one's rows.
  const auto sets = session.phase(
      "load", [&] { return data::load(job.data, job.data2, job.preparation, session.comm()); });
  const data::Dataset& X = sets.train;
  const data::Dataset& Z = cross ? *sets.test : X;
  const Index nb =
      job.common.nb > 0 ? job.common.nb : spectral::recommended_block(X.rows(), grid.shape());
  session.begin(X.rows(), X.dimension(), nb, kernel.text(), X.hash);

  const gram::Options assembly{.nb = nb, .over_n = false};
  const double ranks = session.comm().size();
  const double entries = static_cast<double>(X.rows()) * static_cast<double>(Z.rows());
  Plan plan = session.plan();
  const double inputs =
      8.0 * static_cast<double>((X.rows() + (cross ? Z.rows() : 0)) * X.dimension()) / ranks;
  plan.stage("load", 2 * inputs, 0);
  plan.stage("assemble",
             inputs + sizeof(T) * entries / ranks +
                 gram::assemble_overhead(kernel, std::max(X.rows(), Z.rows()), X.dimension(),
                                         grid.shape(), assembly),
             (cross ? 2 : 1) * entries * static_cast<double>(X.dimension()));
  if (job.common.check)  // K again, by rows
    plan.stage("check", inputs + 2 * sizeof(T) * entries / ranks,
               2 * entries * static_cast<double>(X.dimension()));
  if (session.stop_at_plan(plan)) return 0;

  session.warn_of_kernel_error(source, X.inputs);
  const auto K = session.long_phase("assemble", [&](auto progress) {
    auto options = assembly;
    options.progress = progress;
    return cross ? gram::assemble_cross<T>(kernel, X.inputs, Z.inputs, grid, options)
                 : gram::assemble<T>(kernel, X.inputs, grid, options);
  });
  bool ok = true;
  if (job.common.check) {
    const double difference = session.phase("check", [&] { return check(K, kernel, X, Z); });
    const double tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;
    ok = difference <= tolerance;
    session.record().residual = difference;
    session.say("check   stored entries against entries evaluated again: {:.1e} ({})", difference,
                ok ? "good" : "failed");
  }
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      file.write("/kernel", K);
      file.finish();
    });
  return session.finish(ok);
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-kernel", [&](const mercer::comm::Communicator& comm) {
    Job job;
    CommandLine line(
        "mercer-kernel", "--data SPEC [--data2 SPEC] --out K.h5 [options]",
        "Writes k(x_i, z_j), not divided by n, for rows x of --data and z of --data2 (or of\n"
        "--data itself).");
    line.add_data(job.preparation, job.data, job.data2, false);
    line.add_kernel();
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    if (job.data.empty())
      throw mercer::InputError("--data: give the data set, e.g. --data circle:n=512,freq=5");
    if (!job.common.plot.empty())
      throw mercer::InputError(
          "--plot: a kernel matrix has no picture here, plot its spectrum with mercer-spectrum");
    const auto kernel = line.kernel_source();
    if (kernel.is_stored())
      throw mercer::InputError("--kernel {}: is a file already", kernel.text());
    job.preparation.seed = job.common.seed;
    job.preparation.targets_required = false;
    Session session(line, job.common, comm);
    return job.common.single_precision ? kernel_matrix<float>(job, kernel, session)
                                       : kernel_matrix<double>(job, kernel, session);
  });
}
