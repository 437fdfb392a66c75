#include "mercer/krr/cost.hpp"

#include <algorithm>

#include "mercer/gram/assemble.hpp"
#include "mercer/spectral/cost.hpp"
#include "mercer/spectral/probes.hpp"

namespace mercer::krr {
namespace {

/// Share of dgemm's rate that p?potrf reaches, and the cost of its narrow steps in columns of a
/// product with K: fitted to runs on an idle machine, n = 3000 ... 13 000
/// (tests/bench/plan_against_runs.py).
constexpr double kCholesky = 0.72, kPanels = 270;
/// Columns of K that a randomly pivoted sketch computes for each that it takes.
constexpr double kProposals = 1.3;
/// A product with fewer columns takes as long as one with this many.
constexpr double kLeastColumns = 8;

double real(Index n) {
  return static_cast<double>(n);
}

double descent_bytes(const gram::Sizes& sizes, double r) {
  return 8 * real(sizes.n) * (r + 10 * std::max(1.0, real(sizes.c))) / sizes.ranks();
}

/// The factor and, twice, the columns of K that are proposed at a time.
double sketch_bytes(const gram::Sizes& sizes, double r) {
  return 8 * real(sizes.n) * (r + 2 * std::min(64.0, 2 * r)) / sizes.ranks() + 32 * r * r;
}

/// Cost of `flops` flops over the ranks in products of small matrices with blocks of b columns: at
/// the rate of a product of K with b columns.
Cost narrow_cost(const gram::Sizes& sizes, double b, double flops) {
  const double entries = flops / (4 * b) / sizes.ranks();
  return {.flops = flops, .columns = entries * std::max(kLeastColumns, b), .passes = entries};
}

}  // namespace

Cost cholesky_cost(const gram::Sizes& sizes) {
  const double n = real(sizes.n), c = real(sizes.c), P = sizes.ranks();
  Cost cost{.bytes = sizes.share_bytes() + 8 * n * (2 * c + 32) / P,
            .flops = n * n * n / 3 + 2 * n * n * c};
  (sizes.single ? cost.gemm_single : cost.gemm) = n * n * n / (3 * P * kCholesky);
  (sizes.single ? cost.skinny_single : cost.skinny) =
      2 * n * n * (kPanels + real(spectral::kResidualProbes) + 2 * c) / P;
  if (P > 1)
    cost.sent =
        sizes.element_bytes() * n * n / 2 * (1.0 / sizes.shape.rows + 1.0 / sizes.shape.cols);
  return cost;
}

Cost modified_cholesky_cost(const gram::Sizes& sizes, Index k) {
  const double n = real(sizes.n), K = real(k), P = sizes.ranks();
  const Cost assembled = gram::assemble_cost(sizes);
  Cost cost = assembled + cholesky_cost(sizes);
  (sizes.single ? cost.gemm_single : cost.gemm) += 2 * n * n * K / P;
  cost.flops += n * n * K;
  cost.bytes = sizes.element_bytes() * n * K / P + assembled.bytes;
  return cost;
}

Cost path_cost(const gram::Sizes& sizes, double ridges, double scored) {
  const double n = real(sizes.n), c = real(sizes.c), P = sizes.ranks();
  Cost cost{.bytes = sizes.share_bytes()};
  cost.flops = 2 * n * n * ((4 * c + 1) * ridges + (c + 1) * scored + c);
  (sizes.single ? cost.skinny_single : cost.skinny) = cost.flops / P;
  return cost;
}

Cost sketch_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, Index rank) {
  const double n = real(sizes.n), P = sizes.ranks(), r = real(rank);
  // 8 n r^2 for the factor's Gram matrix and the orthonormal U, in the time of 6: they are wide.
  const double flops = (kProposals + 8) * n * r * r, tall = (kProposals + 6) * n * r * r;
  Cost cost = gram::entries_cost(sizes, kProposals * n * r / P) +
              spectral::replicated_cost(sizes, 10 * r * r * r, r) + sum_cost(24 * r * r, P);
  cost.flops += kProposals * n * r * gram::entry_flops(sizes) + flops;
  cost.skinny += tall / P;
  cost.bytes = op.bytes + sketch_bytes(sizes, r);
  return cost;
}

Cost conjugate_gradients_cost(const gram::Sizes& sizes, const gram::OperatorCost& op, Index rank,
                              double iterations) {
  const double n = real(sizes.n), P = sizes.ranks(), r = real(rank);
  const double c = std::max(1.0, real(sizes.c));
  Cost inner =
      narrow_cost(sizes, c, 4 * n * r * c + 20 * n * c * c) + 4 * sum_cost(8 * (r + 4 * c) * c, P);
  inner.copied = 16 * n * c * 8 / P;
  Cost cost = (1.02 * iterations + 1) * gram::product_cost(sizes, op, c) + iterations * inner;
  cost.bytes = op.bytes + descent_bytes(sizes, r);
  return cost;
}

double conjugate_gradients_bytes(const gram::Sizes& sizes, Index rank) {
  return std::max(rank > 0 ? sketch_bytes(sizes, real(rank)) : 0, descent_bytes(sizes, real(rank)));
}

double estimates_bytes(const gram::Sizes& sizes, Index probes) {
  return 8 * real(sizes.n) * real(9 * probes + 8 * sizes.c) / sizes.ranks();
}

}  // namespace mercer::krr
