// The eigenpairs of a kernel matrix: data -> K -> eigenpairs, with measured residuals.

#include "mercer/jobs/pictures.hpp"
#include "shared/entry_check.hpp"
#include "shared/spectrum_options.hpp"
#include "shared/spectrum_output.hpp"

namespace mercer::drivers {
namespace {

/// The rows of K, and those of --eval prepared as they are.
data::Split load(const SpectrumLine& job, const comm::Communicator& comm) {
  if (job.data.empty()) return {};
  if (!job.eval.empty()) return data::load(job.data, job.eval, job.preparation, comm);
  data::Split sets;
  sets.train = data::load_inputs(job.data, job.preparation, comm);
  return sets;
}

template <class T>
int spectrum(const SpectrumLine& job, const gram::Source& kernel, Session& session) {
  const auto& comm = session.comm();
  const auto sets = session.phase("load", [&] { return load(job, comm); });
  const auto& train = sets.train;
  const Index n = kernel.is_stored() ? kernel.stored_size(comm) : train.rows();
  auto options = job.options;
  if (sets.test.has_value()) options.eval_rows = sets.test->rows();
  if (job.diagnostics.has_value()) options.aligned = train.outputs();
  options.validate(n);
  session.begin(n, train.dimension(), session.block_of(n), kernel.text(),
                jobs::rows_hash(kernel, train, comm));
  sets.test.has_value() ? say_notes(session, sets) : say_notes(session, train);
  const auto plan = jobs::plan(options, kernel, train, session.resources(kernel, train.dimension()),
                               comm, session.took("load"));
  session.log("kernel", plan.notes);
  if (session.stop_at_plan(plan.stages)) return 0;
  const auto spectrum = jobs::solve<T>(plan, kernel, train, session.grid(), session);

  std::optional<jobs::Evaluation> evaluation;
  if (sets.test.has_value())
    evaluation = jobs::evaluate(plan, spectrum, kernel, train, *sets.test, session.grid(), session);
  std::optional<jobs::Diagnostics> diagnostics;
  if (job.diagnostics.has_value())
    diagnostics = jobs::diagnose(spectrum, train, *job.diagnostics, session);
  print_spectrum(session, spectrum);
  note_spectrum(session, spectrum);
  if (diagnostics.has_value()) print_diagnostics(session, *diagnostics, spectrum.pairs.values);
  if (spectrum.leverage.has_value())
    print_leverage(session, *spectrum.leverage, spectrum.pairs.trace);
  if (evaluation.has_value()) print_evaluation(session, *evaluation, spectrum.pairs.values);
  session.write_result([&](io::Hdf5File& file) {
    jobs::write(file, spectrum);
    if (diagnostics.has_value()) jobs::write(file, *diagnostics);
    if (evaluation.has_value()) jobs::write(file, *evaluation, *sets.test);
  });
  if (!job.csv.empty())
    jobs::write_csv(comm, job.csv, spectrum.pairs.values, spectrum.pairs.residuals);
  if (!job.common.plot.empty()) {
    auto panels = jobs::picture(spectrum.pairs.values, spectrum.pairs.residuals,
                                spectrum.pairs.residuals_exact,
                                diagnostics.has_value() ? &*diagnostics : nullptr);
    if (spectrum.leverage.has_value())
      for (auto& panel : jobs::picture(*spectrum.leverage)) panels.push_back(std::move(panel));
    session.draw(panels);
  }
  const bool entries = !job.common.check || check_kernel(session, kernel, train.inputs);
  if (!spectrum.good())
    session.warn(fmt::format("the largest residual {:.2e} exceeds {:.2e}",
                             spectrum.largest_residual(), spectrum.accepted.residual));
  return session.finish(entries && spectrum.good());
}

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-spectrum", [&](const mercer::comm::Communicator& comm) {
    SpectrumLine job;
    CommandLine line(
        "mercer-spectrum", "--data SPEC [options]",
        "Eigenpairs of the kernel matrix K = (1/n) [k(x_i, x_j)], descending, every pair with\n"
        "its measured residual.");
    line.add_data(job.preparation, job.data);
    line.add_kernel();
    job.add(line);
    line.add_common(job.common);
    if (!line.parse(argc, argv, comm)) return 0;
    const auto kernel = line.kernel_source(comm);
    if (job.data.empty() && !kernel.is_stored())
      throw mercer::InputError("--data: give the data set, e.g. --data circle:n=512,freq=5");
    line.expect_no_cross(kernel);
    job.preparation.seed = job.common.seed;
    job.preparation.targets_required = false;
    job.read(line, kernel);
    job.preparation.prepare_targets = job.diagnostics.has_value();
    Session session(line, job.common, comm);
    using mercer::report::Content;
    if (!job.csv.empty()) mercer::report::check_writable(comm, Content::text, "--csv", job.csv);
    session.check_checkpoint(job.options.checkpoints);
    return job.common.single_precision ? spectrum<float>(job, kernel, session)
                                       : spectrum<double>(job, kernel, session);
  });
}
