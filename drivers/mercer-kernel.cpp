// Writes a kernel matrix to a file: data -> k(x_i, z_j), not divided by n.

#include <algorithm>
#include <optional>

#include "mercer/jobs/matrix.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "shared/session.hpp"
#include "shared/spectrum_options.hpp"

namespace mercer::drivers {
namespace {

struct Job {
  CommonOptions common;
  std::string data, data2;
  data::Options preparation;
  bool full = false;
  jobs::CheckpointOptions checkpoints;
};

/// Of --kernel empirical: its outputs are stored beside the kernel.
using Network = std::optional<net::StoredNetwork>;

template <class T>
int kernel_matrix(const Job& job, const gram::Source& source, const Network& network,
                  Session& session) {
  const auto& kernel = source.kernel();
  // The second set is prepared as a test set is: standardised by the first one's rows.
  const auto sets = session.phase(
      "load", [&] { return data::load(job.data, job.data2, job.preparation, session.comm()); });
  const Index n = sets.train.rows(), d = sets.train.dimension();
  jobs::MatrixOptions options{.cross = !job.data2.empty(),
                              .single = std::is_same_v<T, float>,
                              .check = job.common.check,
                              .checkpoints = job.checkpoints};
  if (job.full) options.outputs = network->network.outputs();
  const Index copies = std::max<Index>(1, options.outputs), columns = d + options.outputs;
  session.begin(n, d, session.block_of(copies * n), kernel.text(), sets.train.hash);
  say_notes(session, sets);
  const auto plan =
      jobs::plan(options, kernel, sets, session.resources(source, columns), session.took("load"));
  if (session.stop_at_plan(plan.stages, plan.result_bytes())) return 0;

  const auto K = jobs::assemble<T>(plan, kernel, sets, session.grid(), session);
  bool ok = true;
  if (job.common.check) {
    const auto check = jobs::check(K, kernel, sets, session);
    session.record().residual = check.product;
    if (check.entries) session.record().result["check_entries"] = check.entries->difference;
    session.log("check", check.lines(kernel.text()));
    ok = check.good();
  }
  try {
    session.write_result([&](io::Hdf5File& file) {
      jobs::write(file, K);
      if (network) jobs::write_outputs(file, *network, sets);
    });
  } catch (const Error& error) {
    if (!job.checkpoints.asked()) throw;
    throw Error(error.code(),
                fmt::format("{}; --checkpoint {} holds all entries: the same command with --resume "
                            "writes them",
                            error.what(), job.checkpoints.path));
  }
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
    line.add_data(job.preparation, job.data, &job.data2);
    line.add_kernel();
    line.group("Empirical kernel")
        .add_options()(
            "full", boost::program_options::bool_switch(&job.full),
            "all pairs of outputs, n c x n c: row i c + a is output a of data row i; otherwise the "
            "mean over the c outputs, n x n");
    CheckpointLine checkpoints;
    checkpoints.add(line.group("Checkpoint"), job.checkpoints, true);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    if (job.data.empty())
      throw mercer::InputError("--data: give the data set, e.g. --data circle:n=512,freq=5");
    if (!job.common.plot.empty())
      throw mercer::InputError(
          "--plot: a kernel matrix is not drawn: draw its spectrum with mercer-spectrum");
    if (job.full && !line.empirical_kernel())
      throw mercer::InputError("--full: belongs to --kernel empirical");
    if (job.full && line.given("output"))
      throw mercer::InputError("--full: is of all outputs: leave out --output");
    Network network;
    if (line.empirical_kernel()) network = line.stored_network(comm);
    const auto kernel =
        network ? mercer::gram::Source::function(mercer::net::empirical_kernel(
                      network->network, network->parameters,
                      job.full ? mercer::net::Outputs::full : mercer::net::Outputs::trace))
                : line.kernel_source(comm);
    if (kernel.is_stored())
      throw mercer::InputError("--kernel {}: is a matrix in a file already", kernel.text());
    checkpoints.read(line);
    job.preparation.seed = job.common.seed;
    job.preparation.targets_required = false;
    Session session(line, job.common, comm);
    session.check_checkpoint(job.checkpoints);
    return job.common.single_precision ? kernel_matrix<float>(job, kernel, network, session)
                                       : kernel_matrix<double>(job, kernel, network, session);
  });
}
