#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/spectral/krylov_file.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

/// Whether a run can continue from the state in `file`: its converged pairs are accurate enough,
/// and its products with K are valid in this run. Otherwise its vectors start a new run.
bool is_continued(const SpectrumPlan& plan, const gram::Source& kernel, const io::Hdf5File& file) {
  const double before = parse_numbers(file.path() + ": the attribute 'tolerance'",
                                      file.text_attribute("/", "tolerance"))
                            .at(0);
  return before > 0 && asked_tolerance(plan.options) >= before &&
         same_entries(file, kernel, plan.strategy.products, file.comm().size());
}

/// krylov() with progress and checkpoints.
spectral::TopPairs iterate(const SpectrumPlan& plan, const gram::Source& kernel,
                           const gram::Operator& K, Checkpoints& checkpoints, Monitor& monitor) {
  const auto& options = plan.options;
  const auto& run = plan.strategy.run;
  Matrix<double> start;
  spectral::KrylovState state;
  // Half, because measured residuals have errors of some tens of percent.
  const double tolerance = std::max(kLeastTolerance, 0.5 * asked_tolerance(options));
  auto krylov = krylov_options(run, plan.top, tolerance, plan.seed, monitor);
  krylov.single_vectors = options.single;
  if (options.checkpoints.resume) {
    const auto file = checkpoints.open();
    state = spectral::read_krylov_state(file, plan.n, run.sizes);
    monitor.log("resume",
                fmt::format("{}: {}{}", options.checkpoints.path,
                            counted(state.products, "product"), checkpoints.differences(file)));
    if (is_continued(plan, kernel, file)) {
      krylov.resume = &state;
    } else {
      start = std::move(state.basis);
      krylov.start = start.view().block(0, 0, start.rows(), state.columns);
    }
  } else if (options.starts()) {
    start = starting_vectors(plan, K.comm());
    krylov.start = start.view();
  }
  krylov.checkpoint = [&](const spectral::KrylovState& now) {
    state.products = now.products;
    return checkpoints.step([&](io::Hdf5File& file) {
      write_sizes(file, plan.strategy);
      spectral::write(file, plan.n, now);
    });
  };
  checkpoints.begin();
  auto pairs = spectral::krylov(K, krylov);
  checkpoints.end();
  if (!pairs.finished) checkpoints.interrupted(counted(pairs.products, "product"));
  return pairs;
}

/// Residuals with every entry of K computed again. Collective.
void measure_again(const SpectrumPlan& plan, const gram::Source& kernel,
                   const dist::RowBlock<double>& X, const dist::ProcessGrid& grid,
                   spectral::TopPairs& pairs) {
  const auto again = check_options(plan.strategy, plan.top);
  spectral::measure_residuals(gram::KernelOperator(kernel.kernel(), X, grid, again), pairs);
}

/// What is accepted of exact residuals where the pairs are those of a K with entries stored in
/// single: each entry has a relative error of 2^-24, and the matrix an error of at most 2^-24 |K|_F
/// <= 2^-24 sqrt(lambda_1 trace(K)).
Accepted accepted_of_rounded(const Accepted& of_kept, double trace, double lambda_1) {
  if (!(lambda_1 > 0 && trace > 0)) return of_kept;
  return {of_kept.residual + 0.5 * kSingle * std::sqrt(trace / lambda_1),
          "entries of K kept in single precision"};
}

/// Flops of K's set-up, of the run with the products that it took, and of the estimates.
double counted_flops(const SpectrumPlan& plan, Index products) {
  auto run = plan.strategy.run;
  run.products = static_cast<double>(products);
  const auto& op = plan.strategy.products.cost;
  double flops = spectral::krylov_cost(plan.sizes, op, run).flops + op.set_up.flops;
  if (plan.options.estimates.has_value())
    flops += spectral::estimates_cost(plan.sizes, op, plan.strategy.probes).flops;
  return flops;
}

}  // namespace

template <class T>
Spectrum<T> solve_by_products(const SpectrumPlan& plan, const gram::Source& kernel,
                              const data::Dataset& rows, const dist::ProcessGrid& grid,
                              Monitor& monitor) {
  const auto& options = plan.options;
  const auto& X = rows.inputs;
  std::optional<SpectrumEstimates> estimates;
  std::optional<msk::LeverageScores> leverage;
  spectral::TopPairs top;
  std::string storage;
  double share = 1;
  {
    Checkpoints checkpoints(options.checkpoints, grid.all(), monitor, plan.identity);
    const Products products(kernel, X, grid, plan.nb, plan.strategy.products, monitor,
                            checkpoints.interruption());
    monitor.log("solver", fmt::format("krylov ({})", plan.strategy.reason));
    monitor.log("storage", products.text());
    storage = products.storage();
    share = products.stored_share();
    if (options.estimates.has_value()) estimates = estimate(plan, products.K(), monitor);
    top = monitor.phase("eigensolve",
                        [&] { return iterate(plan, kernel, products.K(), checkpoints, monitor); });
    if (options.leverage.asked() && plan.top < plan.n)
      leverage = leverage_of(plan, top, products.K(), monitor);
    if (options.exact_residuals && kernel.is_stored())
      monitor.phase("check", [&] { spectral::measure_residuals(products.K(), top); });
  }
  if (options.exact_residuals && !kernel.is_stored())
    monitor.phase("check", [&] { measure_again(plan, kernel, X, grid, top); });
  monitor.log("solver", fmt::format("krylov: {}, {}", counted(top.products, "product"),
                                    counted(top.restarts, "restart")));
  if (!top.warning.empty()) monitor.warn(top.warning);
  auto pairs = spectral::on_grid<T>(top, plan.n, grid, plan.nb);
  if (!options.vectors) pairs.vectors = dist::DistMatrix<T>(grid, plan.n, 0, plan.nb);
  pairs.reason = plan.strategy.reason;
  if (options.leverage.asked() && plan.top == plan.n)
    leverage = leverage_of<T>(plan, pairs, {}, monitor);
  Spectrum<T> result{.pairs = std::move(pairs)};
  result.leverage = std::move(leverage);
  result.estimates = std::move(estimates);
  result.accepted = accepted(plan);
  // The solver's residuals are those of K as stored; exact ones are those of K itself.
  if (options.exact_residuals && (storage == "single" || storage == "mixed"))
    result.accepted =
        accepted_of_rounded(result.accepted, result.pairs.trace, result.pairs.values.front());
  if (top.next_vector.cols() > 0 && options.vectors)
    result.next_vector = dist::to_row_block(grid.all(), plan.n, top.next_vector.view());
  result.iterative = true;
  result.products = top.products;
  result.restarts = top.restarts;
  result.block = top.block;
  result.basis = top.basis;
  result.storage = storage;
  result.stored_share = share;
  result.warning = top.warning;
  result.flops = counted_flops(plan, top.products);
  return result;
}

template Spectrum<double> solve_by_products<double>(const SpectrumPlan&, const gram::Source&,
                                                    const data::Dataset&, const dist::ProcessGrid&,
                                                    Monitor&);
template Spectrum<float> solve_by_products<float>(const SpectrumPlan&, const gram::Source&,
                                                  const data::Dataset&, const dist::ProcessGrid&,
                                                  Monitor&);

}  // namespace mercer::jobs
