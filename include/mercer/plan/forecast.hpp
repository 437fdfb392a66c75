#pragma once

#include "mercer/gram/cost.hpp"
#include "mercer/plan/stage.hpp"
#include "mercer/spectral/cost.hpp"

/// The stages of Mercer's jobs on a machine: what each room counts (gram/cost.hpp,
/// spectral/cost.hpp, krr/cost.hpp), over the machine's rates (Machine::seconds()). Pure and local:
/// nothing is allocated or measured here. Seconds are of the slowest rank, bytes of the rank that
/// holds most, the data included and what a process takes before its start (Plan's baseline) left
/// out, flops of all ranks together, `sent` by one rank.
namespace mercer::plan {

using gram::OperatorCost;
using gram::Sizes;

/// The data twice. `seconds`: as it took, because reading comes before the plan.
Stage load(const Sizes& sizes, double seconds);
Stage assemble(const Machine& machine, const Sizes& sizes);
Stage assemble_cross(const Machine& machine, const Sizes& sizes);
/// By a direct solver.
Stage eigensolve(const Machine& machine, const Sizes& sizes, spectral::Method method, Index k,
                 bool vectors = true);
Stage cholesky(const Machine& machine, const Sizes& sizes);
Stage modified_cholesky(const Machine& machine, const Sizes& sizes, Index k);
Stage ridge_path(const Machine& machine, const Sizes& sizes, double ridges, double scored);
Stage predict(const Machine& machine, const Sizes& sizes);

/// Storing the tiles that an operator keeps.
Stage store(const Machine& machine, const Sizes& sizes, const OperatorCost& op);
/// One product with op.block columns.
Stage product(const Machine& machine, const Sizes& sizes, const OperatorCost& op);
double product_seconds(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                       double columns);
/// Columns that would cost as much as what a product costs whatever its width:
/// KrylovOptions::fixed_columns.
double fixed_columns(const Machine& machine, const Sizes& sizes, const OperatorCost& op);

Stage krylov(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
             const spectral::KrylovRun& run);
Stage estimates(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                const spectral::EstimateOptions& options);
Stage sketch(const Machine& machine, const Sizes& sizes, const OperatorCost& op, Index rank);
Stage conjugate_gradients(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                          Index rank, double iterations);
/// `steps` of gradient descent, each `flops` over all ranks at 0.85 of gemm's rate and a sum of
/// `parameters` numbers. bytes: the caller's.
Stage descent(const Machine& machine, const Sizes& sizes, double steps, double flops,
              double parameters);

}  // namespace mercer::plan
