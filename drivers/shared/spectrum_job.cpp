#include "shared/spectrum_job.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/spectral/stored.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

namespace {

constexpr double kSingle = std::numeric_limits<float>::epsilon();

}  // namespace

void SpectrumJob::add(CommandLine& line) {
  auto& group = line.group("Spectrum");
  auto add = group.add_options();
  add("top", po::value(&top)->value_name("K")->default_value(-1, "n"),
      "how many of the largest eigenvalues");
  add("values-only", po::bool_switch(&values_only), "no eigenvectors");
  add("solver", po::value(&solver)->value_name("NAME")->default_value("auto"),
      "elpa1, elpa2, scalapack, lapack: direct, any number of pairs, to rounding. krylov: "
      "iterative, "
      "to --tol, from products with K alone: right for few pairs (up to about n/10) and where K "
      "does not fit. auto: the faster by Mercer's model of those that fit");
  add("tol", po::value(&tolerance)->value_name("E")->default_value(1e-10, "1e-10"),
      "largest residual |K v - lambda v|/lambda_1 that is accepted; krylov stops there");
  add("estimates", po::value(&estimates)->value_name("[G]")->implicit_value("1e-3"),
      "what needs no pairs, from products alone: trace, lambda_min, spectral density, and the "
      "statistical dimension tr K (K + gamma I)^-1 and log-determinant of K + gamma I at gamma = G "
      "trace(K)/n; stochastic, with their errors; right for the whole spectrum of a large K");
  storage.add(group);
  add("block", po::value(&block)->value_name("B")->default_value(0, "chosen"),
      "krylov: vectors of a product; more than the multiplicity of any eigenvalue is best");
  add("start", po::value(&start)->value_name("S.h5"),
      "krylov: starts from the eigenvectors of an earlier result: right for a sequence of similar "
      "kernels of the same rows, and where rows were added after them");
  checkpoints.add(group);
}

bool SpectrumJob::direct_asked() const {
  return solver != "auto" && solver != "krylov";
}

bool SpectrumJob::iterative_asked() const {
  return solver == "krylov" || storage.chosen() || block > 0 || !start.empty() ||
         checkpoints.asked();
}

std::string SpectrumJob::asked_by() const {
  if (solver != "auto") return "--solver " + solver;
  return storage.chosen()      ? "--storage"
         : block > 0           ? "--block"
         : !start.empty()      ? "--start"
         : checkpoints.asked() ? "--checkpoint"
                               : "";
}

void SpectrumJob::settle(const CommandLine& line, const gram::Source& kernel) {
  spectral::parse_method(solver);
  storage.settle(kernel, common.single_precision);
  checkpoints.settle(line);
  if (block < 0) throw InputError("--block {}: give at least 1 vector", block);
  if (!(tolerance > 0 && tolerance < 1))
    throw InputError("--tol {}: give a number between 0 and 1", tolerance);
  tolerance_given = line.given("tol");
  if (common.single_precision && tolerance_given && !(tolerance >= kSingle))
    throw InputError(
        "--tol {}: vectors in --precision single have residuals of {:.1e} lambda_1 at best: leave "
        "--tol out, then what rounding leaves is accepted, or give --precision double",
        tolerance, kSingle);
  if (direct_asked())
    for (const char* option : {"storage", "block", "start", "checkpoint"})
      if (line.given(option))
        throw InputError("--{}: belongs to --solver krylov, not to {}", option, solver);
  if (iterative_asked() && !(tolerance >= kLeastTolerance))
    throw InputError("--tol {}: krylov reaches {} at best; a direct solver reaches less", tolerance,
                     kLeastTolerance);
  if (estimated()) {
    estimates_at = parse_numbers("--estimates", estimates).at(0);
    if (!(estimates_at > 0 && std::isfinite(estimates_at)))
      throw InputError("--estimates {}: give a ridge > 0, relative to trace(K)/n", estimates);
  }
}

namespace {

spectral::KrylovOptions krylov_options(const SpectrumJob& job, Index top) {
  return {.top = top, .tolerance = job.tolerance, .block = job.block, .seed = job.common.seed};
}

double estimates_bytes(const forecast::Sizes& sizes, const spectral::EstimateOptions& probes) {
  return 8 * static_cast<double>(sizes.n) / sizes.ranks() *
         static_cast<double>(probes.probes * (probes.steps + 3));
}

/// What holds memory beside K's operator: the basis, or the probes of the estimates before it.
double beside(const SpectrumJob& job, const SpectrumWay& way, const forecast::Sizes& sizes) {
  const double krylov = spectral::krylov_bytes(sizes.n, way.run.k,
                                               sizes.shape.rows * sizes.shape.cols, way.run.sizes);
  return std::max(krylov, job.estimated() ? estimates_bytes(sizes, way.probes) : 0.0);
}

/// Half of the memory is for the basis at most, unless its least size takes more.
forecast::Krylov krylov_run(const forecast::Sizes& sizes, spectral::KrylovOptions options,
                            double room) {
  options.basis_bytes = std::max(1.0, 0.5 * room);
  try {
    return forecast::krylov_run(sizes, options);
  } catch (const MemoryError&) {
    options.basis_bytes = std::max(1.0, 0.9 * room);
    return forecast::krylov_run(sizes, options);
  }
}

/// Sizes of the basis, then of what is kept of K beside it; the block is wider where much is
/// computed again in every product.
void size_iterative(const SpectrumJob& job, const gram::Source& kernel,
                    const forecast::Sizes& sizes, Index top, double room, SpectrumWay& way) {
  constexpr Index kProbes = 16;  // go with the first block
  const Machine reference;
  auto options = krylov_options(job, top);
  for (int pass = 0; pass < 2; ++pass) {
    way.run = krylov_run(sizes, options, room);
    way.products =
        plan_products(kernel, sizes, job.storage.storage(), room - beside(job, way, sizes),
                      way.run.sizes.block + kProbes, reference);
    options.fixed_columns = forecast::fixed_columns(reference, sizes, way.products.cost);
  }
}

/// Throws InputError where they are none that a run of n rows can have.
void read_sizes(const dist::Hdf5File& file, Index n, Index top, SpectrumWay& way) {
  const Index block = file.count_attribute("/", "krylov_block", 1, n);
  const Index least = std::min(n, std::min(top + 1, n) + 3 * block);
  way.run.sizes = {block, file.count_attribute("/", "krylov_basis", least, n)};
}

}  // namespace

void write_sizes(dist::Hdf5File& file, const SpectrumWay& way) {
  file.attribute("/", "krylov_block", way.run.sizes.block);
  file.attribute("/", "krylov_basis", way.run.sizes.basis);
  write_storage(file, way.products);
}

SpectrumWay decide(const SpectrumJob& job, const gram::Source& kernel, const forecast::Sizes& sizes,
                   Index top, const Session& session, const dist::Hdf5File* resume) {
  const Machine reference;  // the same choice in every run, whatever a measurement would say
  SpectrumWay way;
  way.probes = {.probes = 32, .steps = 60, .seed = job.common.seed};
  way.direct = spectral::parse_method(job.solver);
  const double room = room_for_solver(session, sizes);
  if (job.direct_asked()) {
    way.reason = "asked for by " + job.asked_by();
    return way;
  }
  if (job.iterative_asked()) {
    require_room(session, room);
    way.iterative = true;
    way.reason = "asked for by " + job.asked_by();
    size_iterative(job, kernel, sizes, top, room, way);
    if (resume != nullptr) {
      read_sizes(*resume, sizes.n, top, way);
      way.products =
          resumed_products(*resume, job.storage, kernel, sizes, room - beside(job, way, sizes));
    }
    return way;
  }
  const auto choice = spectral::choose(sizes.n, top, !job.values_only, sizes.shape, sizes.single);
  way.direct = choice.method;
  way.reason = "auto: " + choice.reason;
  if (!(job.tolerance >= kLeastTolerance)) return way;
  const Stage assembled = forecast::assemble(reference, sizes);
  const Stage solved = forecast::eigensolve(reference, sizes, way.direct, top, !job.values_only);
  const bool fits = std::max(assembled.bytes, solved.bytes) - sizes.data_bytes() <= room;
  const double direct = assembled.seconds + solved.seconds;
  constexpr double kShort = 0.5;  // seconds below which the direct solver's accuracy is for nothing
  if (fits && (direct <= kShort || 6 * top > sizes.n)) return way;
  try {
    size_iterative(job, kernel, sizes, top, room, way);
  } catch (const MemoryError&) {
    return way;  // where the direct solver does not fit either, its plan is refused
  }
  const double iterative = forecast::store(reference, sizes, way.products.cost).seconds +
                           forecast::krylov(reference, sizes, way.products.cost, way.run).seconds;
  way.iterative = !fits || iterative < direct;
  way.reason = fmt::format("auto: predicted krylov {}, {} {}{}", format_seconds(iterative),
                           spectral::name(way.direct), format_seconds(direct),
                           fits ? "" : ", which does not fit the memory");
  return way;
}

Accepted accepted(const SpectrumJob& job, const SpectrumWay& way, Index n) {
  if (!job.common.single_precision || job.tolerance_given) return {job.tolerance};
  if (way.iterative) return {std::max(job.tolerance, kSingle), "vectors in single precision"};
  return {std::max(job.tolerance, spectral::rounding_residual(n, true)),
          "rounding in single precision"};
}

Accepted accepted_of_rounded(const Accepted& of_kept, double trace, double lambda_1) {
  if (!(lambda_1 > 0 && trace > 0)) return of_kept;
  return {of_kept.residual + 0.5 * kSingle * std::sqrt(trace / lambda_1),
          "entries of K kept in single precision"};
}

std::uint64_t rows_hash(const gram::Source& kernel, const comm::Communicator& comm) {
  if (!kernel.is_stored()) return 0;
  const auto file = dist::Hdf5File::open(comm, kernel.matrix_path());
  if (!file.has_attribute("/", "data_hash")) return 0;
  const auto text = file.text_attribute("/", "data_hash");
  std::uint64_t hash = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  return error == std::errc{} && end == text.data() + text.size() ? hash : 0;
}

Plan plan(const SpectrumJob& job, const SpectrumWay& way, const gram::Source& kernel,
          const forecast::Sizes& sizes, Index top, Session& session) {
  const Machine machine = session.machine(kernel, sizes.d);
  Plan plan = session.plan();
  plan.stage(forecast::load(sizes, session.took("load")));
  if (!way.iterative) {
    plan.stage(forecast::assemble(machine, sizes));
    plan.stage(forecast::eigensolve(machine, sizes, way.direct, top, !job.values_only));
    return plan;
  }
  auto op = way.products.cost;
  if (way.products.stored)
    plan.stage(forecast::assemble(machine, sizes));
  else {
    op =
        forecast::kernel_operator(machine, sizes, way.products.options, way.products.options.block);
    if (op.stored_share > 0) plan.stage(forecast::store(machine, sizes, op));
  }
  if (job.estimated()) {
    auto stage = forecast::product(machine, sizes, op);
    stage.name = "estimates";
    stage.method = fmt::format("{}, {}", counted(way.probes.probes, "probe"),
                               counted(way.probes.steps, "step"));
    const double steps = static_cast<double>(way.probes.steps);
    stage.seconds = steps * forecast::product_seconds(machine, sizes, op,
                                                      static_cast<double>(way.probes.probes));
    stage.flops *= steps, stage.sent *= steps;
    stage.bytes += estimates_bytes(sizes, way.probes);
    plan.stage(stage);
  }
  auto solve = forecast::krylov(machine, sizes, op, way.run);
  plan.stage(solve);
  return plan;
}

CheckpointIdentity identity(const SpectrumJob& job, const gram::Source& kernel,
                            const data::Dataset& train, Index n, Index top,
                            const comm::Communicator& comm) {
  const auto whole = [](Index x) { return fmt::format("{}", x); };
  CheckpointIdentity id;
  id.problem = {{"checkpoint of", "eigenpairs by krylov"},
                {"kernel", kernel.text()},
                {"entries of the kernel's file", contents_of(comm, kernel)},
                {"rows", whole(n)},
                {"data hash", spectral::hash_text(train.hash)},
                {"--top", whole(top)},
                {"--block", job.block > 0 ? whole(job.block) : "chosen"},
                {"--precision", job.common.single_precision ? "single" : "double"},
                {"--seed", fmt::format("{}", job.common.seed)}};
  id.settings = settings_of(job.common, comm.size());
  id.settings.emplace_back("--tol", fmt::format("{}", job.tolerance));
  id.settings.emplace_back("--storage", gram::name(job.storage.storage()));
  return id;
}

bool is_continued(const SpectrumJob& job, const SpectrumWay& way, const gram::Source& kernel,
                  const dist::Hdf5File& file) {
  const double before = parse_numbers("--tol", file.text_attribute("/", "--tol")).at(0);
  return job.tolerance >= before && same_entries(file, kernel, way.products, file.comm().size());
}

}  // namespace mercer::drivers
