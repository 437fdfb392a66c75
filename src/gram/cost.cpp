#include "mercer/gram/cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "assemble_tiles.hpp"
#include "mercer/gram/assemble.hpp"

namespace mercer::gram {
namespace {

/// How many times the mirrored half of K, and the panels of X, go through memory: fitted to runs on
/// a quiet machine (tests/bench/plan_against_runs.py).
constexpr double kMirror = 6, kPanelCopies = 8;
/// How many times a tile goes through memory on the way to its place, and into a checkpoint.
constexpr double kTileCopies = 6, kKeptCopies = 6;
/// Rows that are prepared together where each is looked at once.
constexpr double kRowsAtOnce = 512;
/// A product with fewer columns takes as long as one with this many.
constexpr double kLeastColumns = 8;

double real(Index n) {
  return static_cast<double>(n);
}

/// Fetching and preparing panels of `rows` rows of X, without the messages.
Cost panels_cost(const Sizes& sizes, double rows) {
  const double bytes = 8 * real(sizes.d) * rows;
  return {.prepared = rows, .copied = kPanelCopies * bytes, .touched = 2 * bytes};
}

/// Whether a matrix of these sizes is evaluated by tiles.
bool tiled(const Sizes& sizes) {
  return sizes.kernel != nullptr && (sizes.kept || by_tiles(*sizes.kernel, {}));
}

/// Panels of apply_cross(): a rank's rows of Z, and at most 4096 of X.
double cross_panels(const Sizes& sizes) {
  const double rows = real(sizes.m) / sizes.ranks() + std::min(4096.0, real(sizes.n));
  return rows * bytes_per_row(*sizes.kernel, sizes.d) + 8.0 * 512 * 512 +
         static_cast<double>(sizes.kernel->scratch_bytes());
}

/// An m x n matrix by tiles: its entries, the rows for them, and the sending of the tiles.
Cost by_tiles_cost(const Sizes& sizes, Index m, bool lower) {
  const double P = sizes.ranks(), w = sizes.element_bytes();
  const auto tiles = tiles_cost(*sizes.kernel, m, sizes.n, sizes.d, lower, sizes.rank_count(),
                                Options{}.panel_bytes, w);
  Cost cost = entries_cost(sizes, tiles.entries) + panels_cost(sizes, tiles.prepared);
  cost.bytes = tiles.bytes;
  cost.copied += (kTileCopies + (sizes.kept ? kKeptCopies : 0)) * w * tiles.entries;
  cost.sent = (1 - 1 / P) * (w * tiles.entries + 8 * real(sizes.d) * tiles.prepared);
  cost.messages = 4 * (P - 1);
  return cost;
}

/// Bytes besides K's share: the panels of assembling; for a K read from a file, a second copy.
double overhead(const Sizes& sizes, Index rows) {
  return sizes.kernel != nullptr
             ? assemble_overhead(*sizes.kernel, rows, sizes.d, sizes.shape, {.nb = sizes.nb})
             : sizes.share_bytes();
}

}  // namespace

double Sizes::data_bytes() const {
  return 8 * real(n + m) * real(d + c) / ranks() + held;
}

double Sizes::share_bytes() const {
  return element_bytes() * real(n) * real(n) / ranks();
}

double entry_flops(const Sizes& sizes) {
  if (sizes.kernel == nullptr) return 0;
  return 2 * real(sizes.kernel->entry_length(sizes.d));
}

Cost entries_cost(const Sizes& sizes, double count) {
  if (sizes.kernel == nullptr) return {};
  return {.dots = 2 * real(sizes.d) * count, .entries = count};
}

Cost prepare_cost(const Sizes& sizes) {
  if (sizes.kernel == nullptr) return {};
  const double rows = std::ceil(real(sizes.n) / sizes.ranks());
  return {.bytes = std::min(rows, kRowsAtOnce) * bytes_per_row(*sizes.kernel, sizes.d) +
                   static_cast<double>(sizes.kernel->scratch_bytes()),
          .prepared = rows};
}

Cost assemble_cost(const Sizes& sizes) {
  const double n = real(sizes.n), d = real(sizes.d), P = sizes.ranks();
  const double half = n * n / (2 * P), w = sizes.element_bytes();
  const double rows = n / sizes.shape.rows + n / sizes.shape.cols;
  Cost cost;
  if (tiled(sizes)) {
    cost = by_tiles_cost(sizes, sizes.n, true);
  } else {
    cost = entries_cost(sizes, half) + panels_cost(sizes, rows);
    cost.bytes = overhead(sizes, sizes.n);
    cost.sent = (1 - 1 / P) * 8 * d * rows;
  }
  cost.bytes += sizes.share_bytes();
  cost.flops = n * n / 2 * entry_flops(sizes);
  cost.copied += w * kMirror * half;
  cost.touched += 2 * w * half;
  cost.sent += (1 - 1 / P) * w * half;
  cost.messages += 4 * (P - 1);
  return cost;
}

Cost assemble_cross_cost(const Sizes& sizes) {
  const double n = real(sizes.n), m = real(sizes.m), P = sizes.ranks();
  const double count = m * n / P, w = sizes.element_bytes();
  const double rows = m / sizes.shape.rows + n / sizes.shape.cols;
  if (tiled(sizes)) {
    Cost cost = by_tiles_cost(sizes, sizes.m, false);
    cost.bytes += w * count;
    cost.flops = m * n * entry_flops(sizes);
    cost.touched += w * count;
    return cost;
  }
  Cost cost = entries_cost(sizes, count) + panels_cost(sizes, rows);
  cost.bytes = w * count + overhead(sizes, std::max(sizes.n, sizes.m));
  cost.flops = m * n * entry_flops(sizes);
  cost.copied += 2 * w * count;
  cost.touched += w * count;
  cost.sent = (1 - 1 / P) * 8 * real(sizes.d) * rows;
  cost.messages = 2 * (P - 1);
  return cost;
}

Cost apply_cross_cost(const Sizes& sizes) {
  const double n = real(sizes.n), m = real(sizes.m), P = sizes.ranks();
  const double c = real(sizes.c), count = m * n / P;
  Cost cost = entries_cost(sizes, count);
  cost.bytes = std::min(Options{}.panel_bytes,
                        tiled(sizes) ? cross_panels(sizes) : overhead(sizes, sizes.n));
  cost.flops = m * n * (entry_flops(sizes) + 2 * c);
  cost.columns = count / 2 * std::max(kLeastColumns, c);  // one product an entry
  cost.passes = count / 2;
  cost.prepared = n;
  cost.sent = 8 * n * (real(sizes.d) + c) * (1 - 1 / P);
  cost.messages = 2 * (P - 1);
  return cost;
}

OperatorCost operator_cost(const Sizes& sizes, const OperatorOptions& options, Index block) {
  const double n = real(sizes.n), d = real(sizes.d), P = sizes.ranks();
  const auto planned = [&](const OperatorOptions& o) {
    return plan_operator(*sizes.kernel, sizes.n, sizes.d, block, sizes.shape, o);
  };
  auto everything = options;
  everything.storage = Storage::in_double;
  everything.memory_bytes = std::numeric_limits<double>::infinity();
  const auto plan = planned(options);

  OperatorCost op;
  op.storage = plan.storage;
  op.stored_share = plan.stored_share;
  op.entries = std::max(n * n / (2 * P), planned(everything).tile_bytes / 8);
  op.bytes = plan.bytes();
  op.block = block;
  op.sent = plan.bytes_sent;
  op.panels_sent = plan.panel_bytes_sent;
  if (op.stored_share > 0) {
    const double rows = n / sizes.shape.rows + n / sizes.shape.cols;
    op.set_up = entries_cost(sizes, op.stored_share * op.entries) + panels_cost(sizes, rows);
    op.set_up.flops = op.stored_share * n * n / 2 * entry_flops(sizes);
    op.set_up.touched += plan.tile_bytes;
    op.set_up.sent = 8 * d * rows * (1 - 1 / P);
    op.set_up.messages = 2 * (P - 1);
  }
  op.set_up.bytes = op.bytes;
  return op;
}

OperatorCost matrix_operator_cost(const Sizes& sizes, Index block) {
  const double n = real(sizes.n), b = real(block), P = sizes.ranks();
  const double parts = 1.0 / sizes.shape.rows + 1.0 / sizes.shape.cols;
  OperatorCost op{.storage = Storage::in_double, .stored_share = 1};
  op.entries = n * n / P;
  op.bytes = 8 * n * n / P + 16 * n * b * parts;
  op.block = block;
  op.sent = 8 * n * b * parts;
  op.set_up.bytes = op.bytes;
  return op;
}

Cost product_cost(const Sizes& sizes, const OperatorCost& op, double columns) {
  const double n = real(sizes.n), again = 1 - op.stored_share;
  Cost cost = entries_cost(sizes, again * op.entries);
  cost.bytes = op.bytes;
  cost.flops = 2 * n * n * columns + again * n * n / 2 * entry_flops(sizes);
  cost.columns = op.entries * std::max(kLeastColumns, columns);
  cost.passes = op.entries;
  cost.converted = op.in_single() ? op.entries : 0;
  cost.sent = op.panels_sent + (op.sent - op.panels_sent) * columns / real(op.block);
  cost.messages = 4 * (sizes.ranks() - 1);
  return cost;
}

}  // namespace mercer::gram
