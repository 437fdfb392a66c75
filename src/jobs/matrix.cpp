#include "mercer/jobs/matrix.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/jobs/products.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/plan/forecast.hpp"

namespace mercer::jobs {
namespace {

constexpr Index kProbes = 4;

/// The largest difference between (1/m) K W, K n x m and W random, from the stored matrix and from
/// the kernel, relative to the largest element. Collective.
template <class T>
double product_difference(const KernelMatrix<T>& matrix, const kernel::Kernel& kernel) {
  const auto& K = matrix.K;
  const auto& comm = K.grid().all();
  const Random random(0, Stream::probe, 1);
  dist::RowBlock<double> W(comm, K.cols(), kProbes);
  for (Index i = 0; i < W.local_rows(); ++i)
    for (Index c = 0; c < kProbes; ++c)
      W.row(i)[static_cast<std::size_t>(c)] =
          random.normal(static_cast<std::uint64_t>((W.first_row() + i) * kProbes + c));
  const auto again = gram::apply_cross(kernel, matrix.X(), matrix.Z(), W);
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
      finite = finite && std::isfinite(sum);
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
  const Index copies = std::max<Index>(1, options.outputs);
  MatrixPlan plan{.cross = options.cross,
                  .outputs = options.outputs,
                  .n = copies * sets.train.rows(),
                  .d = sets.train.dimension() + options.outputs,
                  .seed = resources.seed,
                  .stages = resources.plan()};
  plan.m = plan.cross ? copies * sets.test->rows() : plan.n;
  plan.nb = resources.block_of(plan.n);
  gram::Sizes sizes{.n = plan.n,
                    .d = plan.d,
                    .m = plan.cross ? plan.m : 0,
                    .shape = resources.shape,
                    .nb = plan.nb,
                    .single = options.single,
                    .kernel = &kernel,
                    .numbers = options.numbers};
  if (plan.outputs > 0) sizes.held = sizes.data_bytes();  // the seeded rows
  const auto& machine = resources.machine;
  plan.stages.stage(plan::load(sizes, load_seconds));
  plan.stages.stage(plan.cross ? plan::assemble_cross(machine, sizes)
                               : plan::assemble(machine, sizes));
  if (!options.check) return plan;
  const double inputs = sizes.data_bytes();
  const double entries = static_cast<double>(plan.n) * static_cast<double>(plan.m);
  sizes.m = plan.m;
  auto stage = plan::predict(machine, sizes);
  stage.name = "check";
  stage.bytes = inputs + 2 * sizes.element_bytes() * entries / sizes.ranks();  // K again, by rows
  plan.stages.stage(stage);
  return plan;
}

template <class T>
KernelMatrix<T> assemble(const MatrixPlan& plan, const kernel::Kernel& kernel,
                         const data::Split& sets, const dist::ProcessGrid& grid, Monitor& monitor) {
  const bool seeded = plan.outputs > 0;
  dist::RowBlock<double> seeded_x, seeded_z;
  if (seeded) seeded_x = net::seeded_rows(sets.train.inputs, plan.outputs);
  if (seeded && plan.cross) seeded_z = net::seeded_rows(sets.test->inputs, plan.outputs);
  const auto& X = seeded ? seeded_x : sets.train.inputs;
  check_range(kernel, X, monitor);
  const gram::Options options{.nb = plan.nb, .over_n = false, .progress = monitor.shares()};
  auto K = monitor.phase("assemble", [&] {
    if (!plan.cross) return gram::assemble<T>(kernel, X, grid, options);
    const auto& Z = seeded ? seeded_z : sets.test->inputs;
    return gram::assemble_cross<T>(kernel, X, Z, grid, options);
  });
  return {std::move(K), plan, &sets, std::move(seeded_x), std::move(seeded_z)};
}

template <class T>
MatrixCheck check(const KernelMatrix<T>& matrix, const kernel::Kernel& kernel, Monitor& monitor) {
  return monitor.phase("check", [&] {
    MatrixCheck result;
    result.product = product_difference(matrix, kernel);
    result.product_tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;
    result.entries =
        gram::check_entries(kernel, matrix.X(), matrix.Z(), matrix.K, 1, matrix.plan.seed);
    result.entry_tolerance =
        gram::entry_tolerance<T>(std::max(gram::kernel_error_estimate(kernel, matrix.X()),
                                          gram::kernel_error_estimate(kernel, matrix.Z())));
    return result;
  });
}

template KernelMatrix<double> assemble<double>(const MatrixPlan&, const kernel::Kernel&,
                                               const data::Split&, const dist::ProcessGrid&,
                                               Monitor&);
template KernelMatrix<float> assemble<float>(const MatrixPlan&, const kernel::Kernel&,
                                             const data::Split&, const dist::ProcessGrid&,
                                             Monitor&);
template MatrixCheck check<double>(const KernelMatrix<double>&, const kernel::Kernel&, Monitor&);
template MatrixCheck check<float>(const KernelMatrix<float>&, const kernel::Kernel&, Monitor&);

}  // namespace mercer::jobs
