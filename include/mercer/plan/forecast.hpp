#pragma once

#include "mercer/gram/cost.hpp"
#include "mercer/plan/stage.hpp"
#include "mercer/spectral/cost.hpp"

/// Predicted stages of Mercer's jobs on a machine: the counts of each room (gram/cost.hpp,
/// spectral/cost.hpp, krr/cost.hpp, train/cost.hpp) divided by the machine's rates
/// (Machine::seconds()). Pure and local: nothing is allocated or measured here. Seconds are those
/// of the slowest rank; bytes those of the rank that holds most, with the data but without what a
/// process takes before its start (Plan's baseline); flops those of all ranks together; `sent` is
/// by one rank.
namespace mercer::plan {

using gram::OperatorCost;
using gram::Sizes;

/// Reading the data, which takes its memory twice. `seconds`: measured, because data is read before
/// the plan is made.
Stage load(const Sizes& sizes, double seconds);
/// The look at every row before a job begins (jobs::check_range()).
Stage prepare(const Machine& machine, const Sizes& sizes);
Stage assemble(const Machine& machine, const Sizes& sizes);
Stage assemble_cross(const Machine& machine, const Sizes& sizes);
/// k eigenpairs by a direct solver.
Stage eigensolve(const Machine& machine, const Sizes& sizes, spectral::Method method, Index k,
                 bool vectors = true);
Stage cholesky(const Machine& machine, const Sizes& sizes);
Stage modified_cholesky(const Machine& machine, const Sizes& sizes, Index k);
Stage ridge_path(const Machine& machine, const Sizes& sizes, double ridges, double scored);
Stage predict(const Machine& machine, const Sizes& sizes);

/// Computing the tiles that an operator stores.
Stage store(const Machine& machine, const Sizes& sizes, const OperatorCost& op);
/// One block product with op.block columns; product_seconds(): with `columns` columns.
Stage product(const Machine& machine, const Sizes& sizes, const OperatorCost& op);
double product_seconds(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                       double columns);
/// The cost of a product that does not depend on its width, as the number of columns that cost as
/// much: KrylovOptions::fixed_columns.
double fixed_columns(const Machine& machine, const Sizes& sizes, const OperatorCost& op);

Stage krylov(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
             const spectral::KrylovPlan& run);
Stage estimates(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                const spectral::EstimateOptions& options);
Stage sketch(const Machine& machine, const Sizes& sizes, const OperatorCost& op, Index rank);
Stage conjugate_gradients(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                          Index rank, double iterations);
/// Gradient descent: all its steps (train::step_cost()), and all products that measure its rates
/// (train::rate_cost()), of whose bytes sent only the time counts. The caller sets `bytes`.
Stage descent(const Machine& machine, const Cost& steps, const Cost& rates);

}  // namespace mercer::plan
