// The eigenpairs of a kernel matrix: data -> K -> eigenpairs, with measured residuals. K is
// assembled for the direct solvers, and known by its products alone to the iterative one.

#include <algorithm>

#include "mercer/base/text.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "mercer/krr/predict.hpp"
#include "mercer/spectral/krylov_file.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/data_notes.hpp"
#include "shared/kernel_files.hpp"
#include "shared/spectrum_job.hpp"
#include "shared/spectrum_output.hpp"

namespace mercer::drivers {
namespace {

/// A job's inputs, once read, and how it will be done.
struct Task {
  const SpectrumJob& job;
  const gram::Source& kernel;
  const data::Dataset& train;
  Index n, nb, top;
  SpectrumWay way{};
  Checkpoints* checkpoints = nullptr;
};

/// The pairs, and what --estimates asks for.
template <class T>
struct Result {
  spectral::Eigenpairs<T> pairs;
  std::optional<SpectrumEstimates> estimates{};
  Accepted accepted{};  ///< largest residual
  /// Of lambda_(k+1), for --start; empty where there is none.
  dist::RowBlock<double> next_vector{};
};

SpectrumEstimates estimate(const Task& task, const gram::Operator& K, Session& session) {
  SpectrumEstimates e;
  e.density = session.long_phase("estimates", [&](auto progress) {
    auto options = task.way.probes;
    options.progress = progress;
    e.trace = spectral::trace(K);
    return spectral::lanczos_quadrature(K, options);
  });
  e.ridge = task.job.estimates_at * e.trace / static_cast<double>(task.n);
  e.dimension = e.density.statistical_dimension(e.ridge);
  e.log_determinant = e.density.log_determinant(e.ridge);
  return e;
}

/// data -> K -> eigenpairs by a direct solver.
template <class T>
Result<T> directly(const Task& task, Session& session) {
  const auto& job = task.job;
  const auto assemble = [&](const std::string& phase) {
    return session.long_phase(phase, [&](auto progress) {
      return gram::assemble<T>(task.kernel, task.train.inputs, session.grid(),
                               {.nb = task.nb, .progress = progress});
    });
  };
  auto K = assemble("assemble");
  std::optional<SpectrumEstimates> estimates;
  if (job.estimated()) estimates = estimate(task, gram::MatrixOperator<T>(K), session);
  auto pairs = session.phase("eigensolve", [&] {
    return spectral::eigenpairs(
        std::move(K), {.top = task.top,
                       .vectors = !job.values_only,
                       .method = task.way.direct,
                       .seed = job.common.seed,
                       .say = [&](const std::string& text) { session.say("solver  {}", text); },
                       .reason = task.way.reason});
  });
  if (job.common.check && !job.values_only) {
    const auto again = assemble("check");
    spectral::measure_residuals(again, pairs);
  }
  return {std::move(pairs), std::move(estimates), accepted(job, task.way, task.n)};
}

/// Eigenvectors of --start, with that of lambda_(k+1) where it is there: krylov() converges it too.
/// Rows that were added after its own start as zeros.
Matrix<double> starting_vectors(const Task& task, const comm::Communicator& comm) {
  const auto file = dist::Hdf5File::open(comm, task.job.start, dist::Origin::mercer);
  if (!file.contains("/eigenvectors"))
    throw InputError("--start {}: has no /eigenvectors: give a result of mercer-spectrum",
                     task.job.start);
  const auto columns = [&](const char* dataset) {
    const auto extents = file.extents(dataset);
    if (extents.size() != 2 || extents[1] < 1 || extents[1] > extents[0])
      throw InputError("--start {}: {} is {}: n x k, k <= n, is wanted", task.job.start, dataset,
                       fmt::join(extents, " x "));
    if (extents[0] > task.n)
      throw InputError("--start {}: has eigenvectors of {}, this job has n = {}", task.job.start,
                       counted(extents[0], "row"), task.n);
    auto vectors = file.read_rows<double>(dataset, extents[0], extents[1]);
    if (vectors.rows() < task.n) {
      dist::RowBlock<double> added(comm, task.n - vectors.rows(), vectors.cols());
      std::ranges::fill(added.values(), 0.0);
      vectors = krr::concatenate(vectors, added);
    }
    return krr::to_columns(vectors);
  };
  spectral::TopPairs earlier;
  earlier.vectors = columns("/eigenvectors");
  if (file.contains("/eigenvector_next")) earlier.next_vector = columns("/eigenvector_next");
  return spectral::warm_start(earlier);
}

/// krylov() with its progress and its checkpoints.
spectral::TopPairs iterate(const Task& task, const gram::Operator& K, Session& session) {
  const auto& job = task.job;
  const auto& run = task.way.run;
  Matrix<double> start;
  spectral::KrylovState state;
  spectral::KrylovOptions options{.top = task.top,
                                  // What is measured of a residual is off by some tens of percent.
                                  .tolerance = std::max(kLeastTolerance, 0.5 * job.tolerance),
                                  .block = run.sizes.block,
                                  .basis = run.sizes.basis,
                                  .seed = job.common.seed,
                                  .single_vectors = job.common.single_precision};
  if (job.checkpoints.resume) {
    const auto file = task.checkpoints->open();
    state = spectral::read_krylov_state(file, task.n, run.sizes);
    session.say("resume  {}: {}{}", job.checkpoints.path, counted(state.products, "product"),
                task.checkpoints->differences(file));
    if (is_continued(job, task.way, task.kernel, file)) {
      options.resume = &state;
    } else {
      start = std::move(state.basis);
      options.start = start.view().block(0, 0, start.rows(), state.columns);
    }
  } else if (!job.start.empty()) {
    start = starting_vectors(task, session.comm());
    options.start = start.view();
  }
  auto progress = session.progress("eigensolve");
  options.say = [&](const std::string& text) { session.say("solver  {}", text); };
  options.progress = [&](Index products, Index converged, double residual) {
    progress.update(std::min(0.99, static_cast<double>(products) / run.products),
                    fmt::format("{}, {} of {}, residual {:.1e}", counted(products, "product"),
                                converged, counted(task.top, "pair"), residual));
  };
  options.checkpoint = [&](const spectral::KrylovState& now) {
    state.products = now.products;
    return task.checkpoints->step([&](dist::Hdf5File& file) {
      write_sizes(file, task.way);
      spectral::write(file, task.n, now);
    });
  };
  task.checkpoints->begin();
  auto pairs = spectral::krylov(K, options);
  task.checkpoints->end();
  if (!pairs.finished) task.checkpoints->interrupted(counted(pairs.products, "product"));
  return pairs;
}

/// data -> K by its products -> eigenpairs by block Krylov.
template <class T>
Result<T> by_products(const Task& task, Session& session) {
  const auto& job = task.job;
  const auto& X = task.train.inputs;
  std::optional<SpectrumEstimates> estimates;
  spectral::TopPairs top;
  std::string storage;
  double share = 1;
  {
    const Products products(task.kernel, X, task.nb, task.way.products, session);
    session.say("solver  krylov ({})", task.way.reason);
    session.say("storage {}", products.text());
    storage = products.storage();
    share = products.stored_share();
    if (job.estimated()) estimates = estimate(task, products.K(), session);
    top = session.phase("eigensolve", [&] { return iterate(task, products.K(), session); });
    if (job.common.check && task.kernel.is_stored())
      session.phase("check", [&] { spectral::measure_residuals(products.K(), top); });
  }
  if (job.common.check && !task.kernel.is_stored()) {  // every entry of K computed again
    auto options = task.way.products.options;
    options.storage = gram::Storage::none;
    options.block = std::max(options.block, std::min<Index>(task.top, 128));
    session.phase("check", [&] {
      const gram::KernelOperator again(task.kernel.kernel(), X, session.grid(), options);
      spectral::measure_residuals(again, top);
    });
  }
  const double n = static_cast<double>(task.n);  // the plan had the products that were expected
  session.record().flops += 2 * n * n * (static_cast<double>(top.products) - task.way.run.products);
  auto& record = session.record().result;
  record["products"] = top.products;
  record["restarts"] = top.restarts;
  record["block"] = top.block;
  record["basis"] = top.basis;
  record["storage"] = storage;
  record["stored_share"] = share;
  record["warning"] = top.warning;
  session.say("solver  krylov: {}, {}", counted(top.products, "product"),
              counted(top.restarts, "restart"));
  if (!top.warning.empty()) session.warn(top.warning);
  auto pairs = spectral::on_grid<T>(top, task.n, session.grid(), task.nb);
  if (job.values_only) pairs.vectors = dist::DistMatrix<T>(session.grid(), task.n, 0, task.nb);
  pairs.reason = task.way.reason;
  Result<T> result{std::move(pairs), std::move(estimates), accepted(job, task.way, task.n)};
  // The solver's residuals are those of K as it was kept; --check's are those of K itself.
  if (job.common.check && (storage == "single" || storage == "mixed"))
    result.accepted =
        accepted_of_rounded(result.accepted, result.pairs.trace, result.pairs.values.front());
  if (top.next_vector.cols() > 0 && !job.values_only)
    result.next_vector = krr::to_row_block(session.comm(), task.n, top.next_vector.view());
  return result;
}

template <class T>
int spectrum(const SpectrumJob& job, const gram::Source& kernel, Session& session) {
  const auto train = session.phase("load", [&] {
    return job.data.empty() ? data::Dataset{}
                            : data::load_inputs(job.data, job.preparation, session.comm());
  });
  const Index n = kernel.is_stored() ? kernel.stored_size(session.comm()) : train.rows();
  if (job.top > n || job.top == 0 || job.top < -1)
    throw InputError("--top {}: give 1 ... n = {} eigenpairs", job.top, n);
  const Index nb =
      job.common.nb > 0 ? job.common.nb : spectral::recommended_block(n, session.shape());
  session.begin(n, train.dimension(), nb, kernel.text(),
                job.data.empty() ? rows_hash(kernel, session.comm()) : train.hash);
  say_notes(session, train);
  if (!job.data.empty()) (void)verified(session, kernel, train, nullptr);

  Task task{job, kernel, train, n, nb, job.top < 0 ? n : job.top};
  CheckpointIdentity problem;
  if (job.checkpoints.asked()) problem = identity(job, kernel, train, n, task.top, session.comm());
  Checkpoints checkpoints(job.checkpoints, session, std::move(problem));
  task.checkpoints = &checkpoints;
  const forecast::Sizes sizes{.n = n,
                              .d = train.dimension(),
                              .shape = session.shape(),
                              .nb = nb,
                              .single = std::is_same_v<T, float>,
                              .kernel = forecast::kernel_of(kernel)};
  std::optional<dist::Hdf5File> before;
  if (job.checkpoints.resume) before.emplace(checkpoints.open());
  task.way = decide(job, kernel, sizes, task.top, session, before ? &*before : nullptr);
  before.reset();
  if (session.stop_at_plan(plan(job, task.way, kernel, sizes, task.top, session))) return 0;

  session.check_range(kernel, train.inputs);
  const auto result =
      task.way.iterative ? by_products<T>(task, session) : directly<T>(task, session);
  const auto& pairs = result.pairs;
  print_spectrum(session, pairs, result.accepted);
  note_spectrum(session, pairs, result.accepted);
  if (result.estimates.has_value()) {
    print_estimates(session, *result.estimates);
    note_estimates(session, *result.estimates);
  }
  if (!job.common.out.empty())
    session.phase("write", [&] {
      auto file = session.create_result();
      spectral::write(file, pairs);
      if (result.next_vector.cols() > 0) file.write("/eigenvector_next", result.next_vector);
      if (result.estimates.has_value()) write_estimates(file, *result.estimates);
      file.finish();
    });
  if (!job.common.plot.empty())
    session.phase("plot", [&] { plot_spectrum(session, pairs.values, pairs.residuals); });
  const double residual = largest_residual(pairs.residuals);
  const bool entries = !job.common.check || check_kernel(session, kernel, train.inputs);
  const bool accepted = pairs.residuals.empty() || residual <= result.accepted.residual;
  const bool ok = entries && accepted;
  if (!accepted)
    session.warn(fmt::format("the largest residual {:.2e} exceeds {:.2e}", residual,
                             result.accepted.residual));
  return session.finish(ok);
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-spectrum", [&](const mercer::comm::Communicator& comm) {
    SpectrumJob job;
    CommandLine line(
        "mercer-spectrum", "--data SPEC [options]",
        "Eigenpairs of the kernel matrix K = (1/n) [k(x_i, x_j)], descending, every pair with\n"
        "the residual that Mercer measured.");
    line.add_data(job.preparation, job.data, job.unused, false);
    line.add_kernel();
    job.add(line);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    const auto kernel = line.kernel_source(comm);
    if (job.data.empty() && !kernel.is_stored())
      throw mercer::InputError("--data: give the data set, e.g. --data circle:n=512,freq=5");
    if (!job.unused.empty())
      throw mercer::InputError("--data2: only mercer-kernel takes a second set");
    job.preparation.seed = job.common.seed;
    job.settle(line, kernel);
    Session session(line, job.common, comm);
    if (job.checkpoints.asked())
      mercer::report::check_writable(comm, mercer::report::Content::hdf5, "--checkpoint",
                                     job.checkpoints.path);
    return job.common.single_precision ? spectrum<float>(job, kernel, session)
                                       : spectrum<double>(job, kernel, session);
  });
}
