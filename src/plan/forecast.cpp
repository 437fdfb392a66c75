#include "mercer/plan/forecast.hpp"

#include <fmt/format.h>

#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/krr/cost.hpp"

namespace mercer::plan {
namespace {

double real(Index n) {
  return static_cast<double>(n);
}

}  // namespace

Stage load(const Sizes& sizes, double seconds) {
  return {.name = "load", .bytes = 2 * sizes.data_bytes(), .seconds = seconds};
}

Stage prepare(const Machine& machine, const Sizes& sizes) {
  return stage("prepare", "", gram::prepare_cost(sizes), machine, sizes.data_bytes());
}

Stage assemble(const Machine& machine, const Sizes& sizes) {
  return stage("assemble", "", gram::assemble_cost(sizes), machine, sizes.data_bytes());
}

Stage assemble_cross(const Machine& machine, const Sizes& sizes) {
  return stage("assemble", "", gram::assemble_cross_cost(sizes), machine, sizes.data_bytes());
}

Stage eigensolve(const Machine& machine, const Sizes& sizes, spectral::Method method, Index k,
                 bool vectors) {
  return stage("eigensolve", spectral::name(method),
               spectral::eigensolve_cost(sizes, method, k, vectors), machine, sizes.data_bytes());
}

Stage cholesky(const Machine& machine, const Sizes& sizes) {
  return stage("solve", "Cholesky", krr::cholesky_cost(sizes), machine, sizes.data_bytes());
}

Stage modified_cholesky(const Machine& machine, const Sizes& sizes, Index k) {
  return stage("solve", "rank-k update, Cholesky", krr::modified_cholesky_cost(sizes, k), machine,
               sizes.data_bytes());
}

Stage ridge_path(const Machine& machine, const Sizes& sizes, double ridges, double scored) {
  return stage("solve", "ridge path", krr::path_cost(sizes, ridges, scored), machine,
               sizes.data_bytes());
}

Stage predict(const Machine& machine, const Sizes& sizes) {
  return stage("predict", "", gram::apply_cross_cost(sizes), machine, sizes.data_bytes());
}

Stage store(const Machine& machine, const Sizes& sizes, const OperatorCost& op) {
  return stage("assemble", gram::name(op.storage), op.set_up, machine, sizes.data_bytes());
}

Stage product(const Machine& machine, const Sizes& sizes, const OperatorCost& op) {
  return stage("product",
               fmt::format("{}, store {}", counted(op.block, "column"), gram::name(op.storage)),
               gram::product_cost(sizes, op, real(op.block)), machine, sizes.data_bytes());
}

double product_seconds(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                       double columns) {
  return machine.seconds(gram::product_cost(sizes, op, columns));
}

double fixed_columns(const Machine& machine, const Sizes& sizes, const OperatorCost& op) {
  Cost fixed = gram::entries_cost(sizes, 1 - op.stored_share);  // of one entry
  fixed.passes = 1;
  fixed.converted = op.in_single() ? 1 : 0;
  return machine.seconds(fixed) / machine.column_seconds();
}

Stage krylov(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
             const spectral::KrylovPlan& run) {
  return stage("eigensolve",
               fmt::format("krylov, {} in blocks of {}",
                           counted(std::lround(run.products), "product"), run.sizes.block),
               spectral::krylov_cost(sizes, op, run), machine, sizes.data_bytes());
}

Stage estimates(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                const spectral::EstimateOptions& options) {
  return stage(
      "estimates",
      fmt::format("{}, {}", counted(options.probes, "probe"), counted(options.steps, "step")),
      spectral::estimates_cost(sizes, op, options), machine, sizes.data_bytes());
}

Stage sketch(const Machine& machine, const Sizes& sizes, const OperatorCost& op, Index rank) {
  return stage("precondition", fmt::format("pivoted Cholesky, {}", rank),
               krr::sketch_cost(sizes, op, rank), machine, sizes.data_bytes());
}

Stage conjugate_gradients(const Machine& machine, const Sizes& sizes, const OperatorCost& op,
                          Index rank, double iterations) {
  return stage(
      "solve", fmt::format("cg, {}, rank {}", counted(std::lround(iterations), "iteration"), rank),
      krr::conjugate_gradients_cost(sizes, op, rank, iterations), machine, sizes.data_bytes());
}

Stage descent(const Machine& machine, const Cost& steps, const Cost& rates) {
  Stage train = stage("train", "", steps, machine, 0);
  train.flops += rates.flops, train.seconds += machine.seconds(rates);
  return train;
}

}  // namespace mercer::plan
