// A kernel matrix to a file: data -> k(x_i, z_j), not divided by n.

#include <cmath>
#include <optional>

#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/check.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/data_notes.hpp"
#include "shared/forecast.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {
namespace {

struct Job {
  CommonOptions common;
  std::string data, data2;
  data::Options preparation;
  bool full = false;
};

/// The network of --kernel empirical: its outputs are stored beside the kernel.
using Network = std::optional<net::StoredNetwork>;

/// Entries of the matrix as it is kept beside the scalar formulas, one by one. True where they
/// agree, and where the kernel has no such formulas.
template <class T>
bool check_entries(const dist::DistMatrix<T>& K, const kernel::Kernel& kernel,
                   const dist::RowBlock<double>& X, const dist::RowBlock<double>& Z,
                   Session& session) {
  const auto result = session.phase(
      "check", [&] { return gram::check_entries(kernel, X, Z, K, 1, session.options().seed); });
  if (!result) {
    session.say("check   no formulas but those of the tiles are there for {}", kernel.text());
    return true;
  }
  const double estimate =
      std::max(gram::kernel_error_estimate(kernel, X), gram::kernel_error_estimate(kernel, Z));
  const double tolerance = gram::entry_tolerance<T>(estimate);
  session.record().result["check_entries"] = result->difference;
  session.say("check   {}", gram::text(*result, tolerance));
  return result->difference <= tolerance;
}

/// Largest difference between the stored matrix times a few random columns and the same product
/// from entries evaluated again, relative to the largest element: finds whatever assembling,
/// mirroring and moving may have done wrong.
template <class T>
double check(const dist::DistMatrix<T>& K, const kernel::Kernel& kernel,
             const dist::RowBlock<double>& X, const dist::RowBlock<double>& Z) {
  const auto& comm = K.grid().all();
  const Random random(0, Stream::probe, 1);
  dist::RowBlock<double> W(comm, Z.rows(), 4);
  for (Index i = 0; i < W.local_rows(); ++i)
    for (Index c = 0; c < 4; ++c)
      W.row(i)[static_cast<std::size_t>(c)] =
          random.normal(static_cast<std::uint64_t>((W.first_row() + i) * 4 + c));
  const auto again = gram::apply_cross(kernel, X, Z, W);
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

/// /outputs, n x c, of the network whose kernel it is.
void write_outputs(dist::Hdf5File& file, const Network& network, const data::Split& sets) {
  if (!network) return;
  file.write("/outputs", net::outputs(network->network, network->parameters, sets.train.inputs));
  if (sets.test)
    file.write("/outputs2", net::outputs(network->network, network->parameters, sets.test->inputs));
}

template <class T>
int kernel_matrix(const Job& job, const gram::Source& source, const Network& network,
                  Session& session) {
  const auto& grid = session.grid();
  const auto& kernel = source.kernel();
  const bool cross = !job.data2.empty();
  // The second set is prepared as a test set is: standardised by the first one's rows.
  const auto sets = session.phase(
      "load", [&] { return data::load(job.data, job.data2, job.preparation, session.comm()); });
  const Index seeds = job.full ? network->network.outputs() : 1;
  const Index n = seeds * sets.train.rows(), m = cross ? seeds * sets.test->rows() : n;
  const Index d = sets.train.dimension() + (job.full ? seeds : 0);
  const Index nb =
      job.common.nb > 0 ? job.common.nb : spectral::recommended_block(n, session.shape());
  session.begin(sets.train.rows(), sets.train.dimension(), nb, kernel.text(), sets.train.hash);
  say_notes(session, sets);

  const gram::Options assembly{.nb = nb, .over_n = false};
  const double ranks = session.target().ranks;
  const double entries = static_cast<double>(n) * static_cast<double>(m);
  forecast::Sizes sizes{.n = n,
                        .d = d,
                        .m = cross ? m : 0,
                        .shape = session.shape(),
                        .nb = nb,
                        .single = std::is_same_v<T, float>,
                        .kernel = &kernel};
  if (job.full) sizes.held = sizes.data_bytes();  // the rows with their outputs' numbers
  // An empirical kernel's entry is made of all that is kept of its two rows.
  if (network) sizes.numbers = static_cast<double>(kernel.bytes_per_row(d)) / 8;
  const Machine machine = session.machine(source, d);
  Plan plan = session.plan();
  plan.stage(forecast::load(sizes, session.took("load")));
  plan.stage(cross ? forecast::assemble_cross(machine, sizes) : forecast::assemble(machine, sizes));
  if (job.common.check) {  // K again, by rows
    const double inputs = sizes.data_bytes();
    sizes.m = m;
    auto check = forecast::predict(machine, sizes);
    check.name = "check";
    check.bytes = inputs + 2 * sizeof(T) * entries / ranks;
    plan.stage(check);
  }
  if (session.stop_at_plan(plan)) return 0;

  dist::RowBlock<double> seeded_x, seeded_z;
  if (job.full) seeded_x = net::seeded_rows(sets.train.inputs, seeds);
  if (job.full && cross) seeded_z = net::seeded_rows(sets.test->inputs, seeds);
  const auto& X = job.full ? seeded_x : sets.train.inputs;
  const auto& Z = !cross ? X : job.full ? seeded_z : sets.test->inputs;
  session.check_range(source, X);
  const auto K = session.long_phase("assemble", [&](auto progress) {
    auto options = assembly;
    options.progress = progress;
    return cross ? gram::assemble_cross<T>(kernel, X, Z, grid, options)
                 : gram::assemble<T>(kernel, X, grid, options);
  });
  bool ok = true;
  if (job.common.check) {
    const double difference = session.phase("check", [&] { return check(K, kernel, X, Z); });
    const double tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;
    ok = difference <= tolerance;
    session.record().residual = difference;
    session.say(
        "check   the stored matrix against entries evaluated again by the tiles, times 4 random "
        "vectors: {:.1e} ({})",
        difference, ok ? "good" : "failed");
    ok = check_entries(K, kernel, X, Z, session) && ok;
  }
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      file.write("/kernel", K);
      if (cross) file.attribute("/", "data2_hash", spectral::hash_text(sets.test->hash));
      if (job.full)
        file.attribute("/kernel", "rows",
                       fmt::format("i*{0} + a: output a of data row i, {0} outputs", seeds));
      write_outputs(file, network, sets);
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
        "--data itself). With --kernel empirical also /outputs, the network's n x c outputs.");
    line.add_data(job.preparation, job.data, job.data2, false);
    line.add_kernel();
    line.group("Empirical kernel")
        .add_options()(
            "full", boost::program_options::bool_switch(&job.full),
            "all pairs of outputs, n c x n c: row i c + a is output a of data row i; otherwise the "
            "mean over the c outputs, n x n");
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    if (job.data.empty())
      throw mercer::InputError("--data: give the data set, e.g. --data circle:n=512,freq=5");
    if (!job.common.plot.empty())
      throw mercer::InputError(
          "--plot: a kernel matrix has no picture here, plot its spectrum with mercer-spectrum");
    if (job.full && !line.empirical_kernel())
      throw mercer::InputError("--full: belongs to --kernel empirical");
    Network network;
    if (line.empirical_kernel()) network = line.stored_network(comm);
    const auto kernel =
        network ? mercer::gram::Source::function(mercer::net::empirical_kernel(
                      network->network, network->parameters,
                      job.full ? mercer::net::Outputs::full : mercer::net::Outputs::trace))
                : line.kernel_source(comm);
    if (kernel.is_stored())
      throw mercer::InputError("--kernel {}: is a file already", kernel.text());
    job.preparation.seed = job.common.seed;
    job.preparation.targets_required = false;
    Session session(line, job.common, comm);
    return job.common.single_precision ? kernel_matrix<float>(job, kernel, network, session)
                                       : kernel_matrix<double>(job, kernel, network, session);
  });
}
