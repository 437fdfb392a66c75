#include "mercer/jobs/matrix.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/jobs/products.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/plan/forecast.hpp"

namespace mercer::jobs {
namespace {

constexpr Index kProbes = 4;

/// The rows that a planned matrix is between: those of `sets`, or net::seeded_rows() of them.
class Rows {
 public:
  /// Borrows its arguments. Collective.
  Rows(const MatrixPlan& plan, const data::Split& sets) : plan_(plan), sets_(sets) {
    if (plan.outputs == 0) return;
    seeded_x_ = net::seeded_rows(sets.train.inputs, plan.outputs);
    if (plan.cross) seeded_z_ = net::seeded_rows(sets.test->inputs, plan.outputs);
  }
  const dist::RowBlock<double>& X() const {
    return plan_.outputs > 0 ? seeded_x_ : sets_.train.inputs;
  }
  const dist::RowBlock<double>& Z() const {
    return !plan_.cross ? X() : plan_.outputs > 0 ? seeded_z_ : sets_.test->inputs;
  }

 private:
  const MatrixPlan& plan_;
  const data::Split& sets_;
  dist::RowBlock<double> seeded_x_, seeded_z_;
};

/// The largest difference between (1/m) K W, K n x m and W random, from the stored matrix and from
/// the kernel, relative to the largest element. Collective.
template <class T>
double product_difference(const dist::DistMatrix<T>& K, const kernel::Kernel& kernel,
                          const Rows& rows) {
  const auto& comm = K.grid().all();
  const Random random(0, Stream::probe, 1);
  dist::RowBlock<double> W(comm, K.cols(), kProbes);
  for (Index i = 0; i < W.local_rows(); ++i)
    for (Index c = 0; c < kProbes; ++c)
      W.row(i)[static_cast<std::size_t>(c)] =
          random.normal(static_cast<std::uint64_t>((W.first_row() + i) * kProbes + c));
  const auto again = gram::apply_cross(kernel, rows.X(), rows.Z(), W);
  dist::RowBlock<T> stored(comm, K.rows(), K.cols());
  dist::copy(K, stored);
  const auto weights = dist::all_rows(W);
  double difference = 0, largest = 0;
  bool finite = true;
  for (Index i = 0; i < stored.local_rows(); ++i)
    for (Index c = 0; c < kProbes; ++c) {
      double sum = 0;
      for (Index j = 0; j < K.cols(); ++j)
        sum += static_cast<double>(stored.row(i)[static_cast<std::size_t>(j)]) * weights(c, j);
      sum /= static_cast<double>(K.cols());
      const double other = again.row(i)[static_cast<std::size_t>(c)];
      finite = finite && std::isfinite(sum) && std::isfinite(other);
      difference = std::max(difference, std::abs(sum - other));
      largest = std::max(largest, std::abs(other));
    }
  if (!(comm.all_reduce(finite ? 1.0 : 0.0, comm::Op::min) > 0)) return INFINITY;
  largest = comm.all_reduce(largest, comm::Op::max);
  difference = comm.all_reduce(difference, comm::Op::max);
  return largest > 0 ? difference / largest : difference;
}

}  // namespace

MatrixPlan plan(const MatrixOptions& options, const kernel::Kernel& kernel, const data::Split& sets,
                const Resources& resources, double load_seconds) {
  if (options.cross && !sets.test.has_value())
    throw InputError("`cross`: there is no second set of rows");
  options.checkpoints.validate_for_assembly();
  const Index copies = std::max<Index>(1, options.outputs);
  MatrixPlan plan{.cross = options.cross,
                  .outputs = options.outputs,
                  .n = copies * sets.train.rows(),
                  .d = sets.train.dimension() + options.outputs,
                  .single = options.single,
                  .seed = resources.seed,
                  .kernel = kernel.text(),
                  .rows_hash = sets.train.hash,
                  .columns_hash = options.cross ? sets.test->hash : sets.train.hash,
                  .stages = resources.plan(),
                  .checkpoints = options.checkpoints};
  if (!options.single) plan.stages.suggest("more ranks, `single` or fewer rows");
  plan.m = plan.cross ? copies * sets.test->rows() : plan.n;
  plan.nb = resources.block_of(plan.n);
  gram::Sizes sizes{.n = plan.n,
                    .d = plan.d,
                    .m = plan.cross ? plan.m : 0,
                    .shape = resources.shape,
                    .nb = plan.nb,
                    .single = options.single,
                    .kept = options.checkpoints.asked(),
                    .kernel = gram::borrowed(kernel)};
  if (sizes.kept)
    plan.checkpoint_bytes =
        gram::checkpoint_bytes(kernel, plan.n, plan.m, !plan.cross, sizes.element_bytes());
  if (plan.outputs > 0) sizes.held = sizes.data_bytes();  // the seeded rows
  const auto& machine = resources.machine;
  plan.stages.stage(plan::load(sizes, load_seconds));
  plan.stages.stage(plan::prepare(machine, sizes));
  auto assembly =
      plan.cross ? plan::assemble_cross(machine, sizes) : plan::assemble(machine, sizes);
  if (sizes.kept)
    assembly.method = fmt::format("checkpoint of {} on disk", format_bytes(plan.checkpoint_bytes));
  plan.stages.stage(assembly);
  if (!options.check) return plan;
  const double inputs = sizes.data_bytes();
  const double entries = static_cast<double>(plan.n) * static_cast<double>(plan.m);
  sizes.m = plan.m;
  auto stage = plan::predict(machine, sizes);
  stage.name = "check";
  const double copies_of_K =
      2 * sizes.element_bytes() * entries / sizes.ranks();  // K again, by rows
  const auto compared =
      gram::check_entries_cost(kernel, plan.n, plan.m, !plan.cross, sizes.rank_count());
  stage.bytes = inputs + std::max(copies_of_K, copies_of_K / 2 + compared.bytes);
  stage.seconds += compared.seconds;
  plan.stages.stage(stage);
  return plan;
}

template <class T>
KernelMatrix<T> assemble(const MatrixPlan& plan, const kernel::Kernel& kernel,
                         const data::Split& sets, const dist::ProcessGrid& grid, Monitor& monitor) {
  if (plan.single != std::is_same_v<T, float>)
    throw InputError("the plan is for a matrix in {} precision", plan.single ? "single" : "double");
  if (plan.rows_hash != sets.train.hash ||
      (plan.cross && (!sets.test.has_value() || plan.columns_hash != sets.test->hash)) ||
      plan.kernel != kernel.text())
    throw InputError("the plan is for a matrix of other rows, or of another kernel");
  plan.stages.require_memory();
  require_new_checkpoint(grid.all(), plan.checkpoints);
  check_images(kernel.image(), sets.train, "the kernel takes");
  if (plan.cross) check_images(kernel.image(), *sets.test, "the kernel takes");
  const Rows rows(plan, sets);
  check_range(kernel, rows.X(), monitor);
  KeptAssembly kept(plan.checkpoints,
                    {{"the kernel", plan.kernel},
                     {"data hash", hash_text(plan.rows_hash)},
                     {"hash of the second data set",
                      plan.cross ? hash_text(plan.columns_hash) : std::string("none")}},
                    monitor);
  const auto options = kept.options({.nb = plan.nb, .over_n = false, .progress = monitor.shares()});
  auto K = monitor.phase("assemble", [&] {
    if (!plan.cross) return gram::assemble<T>(kernel, rows.X(), grid, options);
    return gram::assemble_cross<T>(kernel, rows.X(), rows.Z(), grid, options);
  });
  return {std::move(K), plan};
}

template <class T>
void write(io::Hdf5File& file, const KernelMatrix<T>& matrix) {
  const auto& plan = matrix.plan;
  const auto add = [&](const char* name, const std::string& text) {
    if (!file.has_attribute("/", name)) file.attribute("/", name, text);
  };
  file.write("/kernel", matrix.K);
  add("kernel", plan.kernel);
  add("data_hash", hash_text(plan.rows_hash));
  if (plan.cross) file.attribute("/", "data2_hash", hash_text(plan.columns_hash));
  if (plan.outputs > 0)
    file.attribute("/kernel", "rows",
                   fmt::format("i*{0} + a: output a of data row i, {0} outputs", plan.outputs));
}

void write_outputs(io::Hdf5File& file, const net::StoredNetwork& network, const data::Split& sets) {
  const auto outputs = [&](const data::Dataset& rows) {
    return net::outputs(network.network, network.parameters, rows.inputs);
  };
  file.write("/outputs", outputs(sets.train));
  if (sets.test) file.write("/outputs2", outputs(*sets.test));
}

std::optional<CheckedEntries> check_entries(const gram::Source& kernel,
                                            const dist::RowBlock<double>& X, std::uint64_t seed,
                                            Monitor& monitor) {
  if (kernel.is_stored()) return std::nullopt;
  const Monitor::Phase scope(monitor, "check");
  const auto found = gram::check_entries(kernel.kernel(), X, seed);
  if (!found) return std::nullopt;
  return CheckedEntries{
      *found, gram::entry_tolerance<double>(gram::kernel_error_estimate(kernel.kernel(), X))};
}

std::vector<std::string> MatrixCheck::lines(const std::string& kernel) const {
  return {fmt::format("the stored matrix against entries evaluated again by the tiles, times {} "
                      "random vectors: {:.1e} ({})",
                      kProbes, product, product_good() ? "good" : "failed"),
          entries ? entries->text()
                  : fmt::format("entries: not compared: there are no scalar formulas for {}, or "
                                "they would take minutes",
                                kernel)};
}

template <class T>
MatrixCheck check(const KernelMatrix<T>& matrix, const kernel::Kernel& kernel,
                  const data::Split& sets, Monitor& monitor) {
  const Monitor::Phase scope(monitor, "check");
  const Rows rows(matrix.plan, sets);
  MatrixCheck result;
  result.product = product_difference(matrix.K, kernel, rows);
  result.product_tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;
  const auto found = gram::check_entries(kernel, rows.X(), rows.Z(), matrix.K, 1, matrix.plan.seed);
  const double error = std::max(gram::kernel_error_estimate(kernel, rows.X()),
                                gram::kernel_error_estimate(kernel, rows.Z()));
  if (found) result.entries = CheckedEntries{*found, gram::entry_tolerance<T>(error)};
  return result;
}

#define MERCER_INSTANTIATE(T)                                                                      \
  template KernelMatrix<T> assemble<T>(const MatrixPlan&, const kernel::Kernel&,                   \
                                       const data::Split&, const dist::ProcessGrid&, Monitor&);    \
  template void write<T>(io::Hdf5File&, const KernelMatrix<T>&);                                   \
  template MatrixCheck check<T>(const KernelMatrix<T>&, const kernel::Kernel&, const data::Split&, \
                                Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
