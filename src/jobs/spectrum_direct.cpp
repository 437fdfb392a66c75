#include "spectrum_parts.hpp"

namespace mercer::jobs {

template <class T>
Spectrum<T> solve_directly(const SpectrumPlan& plan, const gram::Source& kernel,
                           const data::Dataset& rows, const dist::ProcessGrid& grid,
                           Monitor& monitor) {
  const auto& options = plan.options;
  const auto assemble = [&](const char* phase) {
    return monitor.phase(phase, [&] {
      return gram::assemble<T>(kernel, rows.inputs, grid,
                               {.nb = plan.nb, .progress = monitor.shares()});
    });
  };
  auto K = assemble("assemble");
  std::optional<SpectrumEstimates> estimates;
  if (options.estimates.has_value())
    estimates = estimate(plan, gram::MatrixOperator<T>(K), monitor);
  auto pairs = monitor.phase("eigensolve", [&] {
    return spectral::eigenpairs(std::move(K), {.top = plan.top,
                                               .vectors = options.vectors,
                                               .method = plan.strategy.direct,
                                               .seed = plan.seed,
                                               .say = monitor.lines("solver"),
                                               .reason = plan.strategy.reason});
  });
  if (options.exact_residuals && options.vectors)
    spectral::measure_residuals(assemble("check"), pairs);
  const double pairs_flops =
      spectral::eigensolve_cost(plan.sizes, pairs.method, pairs.k(), options.vectors).flops;
  std::optional<msk::LeverageScores> leverage;
  if (options.leverage.asked())
    leverage = leverage_of<T>(
        plan, pairs, [&] { return assemble("assemble"); }, monitor);
  Spectrum<T> result{.pairs = std::move(pairs)};
  result.leverage = std::move(leverage);
  result.estimates = std::move(estimates);
  result.accepted = accepted(plan);
  result.flops = gram::assemble_cost(plan.sizes).flops + pairs_flops;
  if (options.estimates.has_value())
    result.flops +=
        spectral::estimates_cost(
            plan.sizes, gram::matrix_operator_cost(plan.sizes, plan.strategy.probes.probes),
            plan.strategy.probes)
            .flops;
  return result;
}

template Spectrum<double> solve_directly<double>(const SpectrumPlan&, const gram::Source&,
                                                 const data::Dataset&, const dist::ProcessGrid&,
                                                 Monitor&);
template Spectrum<float> solve_directly<float>(const SpectrumPlan&, const gram::Source&,
                                               const data::Dataset&, const dist::ProcessGrid&,
                                               Monitor&);

}  // namespace mercer::jobs
