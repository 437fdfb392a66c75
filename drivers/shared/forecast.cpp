#include "shared/forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/text.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/la/elpa.hpp"
#include "mercer/spectral/cost.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::drivers::forecast {
namespace {

/// dgemm's rate on the machine that the coefficients of spectral/cost.cpp were fitted to.
constexpr double kReferenceGemm = 75e9;
/// Shares of gemm's rate that p?potrf and a step of gradient descent reach, and how often the
/// mirrored half of K and the panels of X go through memory: estimates, to be fitted to quiet runs
/// (tests/bench/plan_against_runs.py).
constexpr double kCholesky = 0.72, kStep = 0.85, kMirror = 6, kPanelCopies = 8;
/// What the narrow steps of p?potrf cost, as columns of a product with K (n = 3000 ... 13 000).
constexpr double kPanels = 270;
/// The same of a dense symmetric eigenproblem of moderate order, and columns of K that a randomly
/// pivoted sketch looks at for each that it takes.
constexpr double kSmallGemm = 0.3, kProposals = 1.3;

double real(Index n) {
  return static_cast<double>(n);
}

double element_bytes(const Sizes& sizes) {
  return sizes.single ? 4 : 8;
}

double entry_seconds(const Machine& machine, const Sizes& sizes) {
  return sizes.kernel != nullptr ? machine.entry_seconds(real(sizes.d)) : 0;
}

/// Panels of `rows` rows of X, fetched and prepared: seconds without what is waited for.
double panel_seconds(const Machine& machine, const Sizes& sizes, double rows) {
  const double bytes = 8 * real(sizes.d) * rows;
  return rows * machine.row + bytes * (2 / machine.touch + kPanelCopies / machine.memory);
}

/// Panels that assembling takes beside K.
double overhead(const Sizes& sizes, Index rows) {
  return sizes.kernel != nullptr
             ? gram::assemble_overhead(*sizes.kernel, rows, sizes.d, sizes.shape, {.nb = sizes.nb})
             : sizes.share_bytes();
}
double overhead(const Sizes& sizes) {
  return overhead(sizes, sizes.n);
}

double entry_flops(const Sizes& sizes) {
  if (sizes.kernel == nullptr) return 0;
  return 2 * (sizes.numbers > 0 ? sizes.numbers : real(sizes.d));
}

/// Seconds a flop of products with b columns on P ranks.
double narrow_flop(const Machine& machine, double b, double P) {
  return machine.product_seconds(std::max(1.0, b), false) / (4 * std::max(1.0, b)) / P;
}

bool in_single(const Operator& op) {
  return op.storage == gram::Storage::in_single || op.storage == gram::Storage::mixed;
}

double skinny(const Machine& machine, const Sizes& sizes) {
  return sizes.single ? machine.skinny_single : machine.skinny;
}

}  // namespace

double Sizes::data_bytes() const {
  return 8 * real(n + m) * real(d + c) / ranks() + held;
}

double Sizes::share_bytes() const {
  return element_bytes(*this) * real(n) * real(n) / ranks();
}

Stage load(const Sizes& sizes, double seconds) {
  return {.name = "load", .bytes = 2 * sizes.data_bytes(), .seconds = seconds};
}

Stage assemble(const Machine& machine, const Sizes& sizes) {
  const double n = real(sizes.n), d = real(sizes.d), P = sizes.ranks();
  const double half = n * n / (2 * P), w = element_bytes(sizes);
  const double rows = n / sizes.shape.rows + n / sizes.shape.cols;
  Stage stage{.name = "assemble"};
  stage.bytes = sizes.data_bytes() + sizes.share_bytes() + overhead(sizes);
  stage.flops = n * n / 2 * entry_flops(sizes);
  stage.sent = (1 - 1 / P) * (w * half + 8 * d * rows);
  stage.seconds = half * (entry_seconds(machine, sizes) + w * kMirror / machine.memory) +
                  2 * w * half / machine.touch + panel_seconds(machine, sizes, rows) +
                  machine.exchange_seconds(stage.sent, 4 * (P - 1));
  return stage;
}

Stage assemble_cross(const Machine& machine, const Sizes& sizes) {
  const double n = real(sizes.n), m = real(sizes.m), P = sizes.ranks();
  const double entries = m * n / P, w = element_bytes(sizes);
  const double rows = m / sizes.shape.rows + n / sizes.shape.cols;
  Stage stage{.name = "assemble"};
  stage.bytes = sizes.data_bytes() + w * entries + overhead(sizes, std::max(sizes.n, sizes.m));
  stage.flops = m * n * entry_flops(sizes);
  stage.sent = (1 - 1 / P) * 8 * real(sizes.d) * rows;
  stage.seconds =
      entries * (entry_seconds(machine, sizes) + 2 * w / machine.memory + w / machine.touch) +
      panel_seconds(machine, sizes, rows) + machine.exchange_seconds(stage.sent, 2 * (P - 1));
  return stage;
}

Stage eigensolve(const Machine& machine, const Sizes& sizes, spectral::Method method, Index k,
                 bool vectors) {
  const double n = real(sizes.n), K = real(k), P = sizes.ranks();
  const auto plan =
      spectral::plan(sizes.n, k, vectors, method, sizes.shape, sizes.nb, sizes.single);
  const bool generic = la::elpa_build().generic_kernels;
  Stage stage{.name = "eigensolve", .method = spectral::name(method)};
  stage.bytes = sizes.data_bytes() + plan.bytes_per_rank;
  stage.flops = plan.flops;
  stage.seconds =
      spectral::predicted_seconds(method, sizes.n, k, vectors, sizes.shape, generic, sizes.single) *
          kReferenceGemm / machine.gemm +
      64 * n * n / (P * skinny(machine, sizes));
  if (vectors)
    stage.seconds += 64 * n * K / (P * skinny(machine, sizes)) +
                     2 * n * K * K / (P * machine.rate(sizes.single));
  if (machine.network && P > 1) {
    stage.sent = 4 * element_bytes(sizes) * n * n / std::sqrt(P);
    stage.seconds += machine.exchange_seconds(stage.sent, 0);
  }
  return stage;
}

Stage cholesky(const Machine& machine, const Sizes& sizes) {
  const double n = real(sizes.n), c = real(sizes.c), P = sizes.ranks();
  Stage stage{.name = "solve", .method = "Cholesky"};
  stage.bytes = sizes.data_bytes() + sizes.share_bytes() + 8 * n * (2 * c + 32) / P;
  stage.flops = n * n * n / 3 + 2 * n * n * c;
  stage.sent =
      P > 1 ? element_bytes(sizes) * n * n / 2 * (1.0 / sizes.shape.rows + 1.0 / sizes.shape.cols)
            : 0;
  stage.seconds = n * n * n / (3 * P * kCholesky * machine.rate(sizes.single)) +
                  2 * n * n * (kPanels + 16 + 2 * c) / (P * skinny(machine, sizes)) +
                  machine.exchange_seconds(stage.sent, 0);
  return stage;
}

Stage modified_cholesky(const Machine& machine, const Sizes& sizes, Index k) {
  const double n = real(sizes.n), K = real(k), P = sizes.ranks();
  const Stage assembled = assemble(machine, sizes), solved = cholesky(machine, sizes);
  Stage stage{.name = "solve", .method = "rank-k update, Cholesky"};
  stage.bytes =
      sizes.data_bytes() + element_bytes(sizes) * n * K / P + sizes.share_bytes() + overhead(sizes);
  stage.flops = n * n * n / 3 + n * n * K;
  stage.sent = assembled.sent + solved.sent;
  stage.seconds =
      assembled.seconds + solved.seconds + 2 * n * n * K / (P * machine.rate(sizes.single));
  return stage;
}

Stage ridge_path(const Machine& machine, const Sizes& sizes, double ridges, double scored) {
  const double n = real(sizes.n), c = real(sizes.c), P = sizes.ranks();
  Stage stage{.name = "solve", .method = "ridge path"};
  stage.bytes = sizes.data_bytes() + sizes.share_bytes();
  stage.flops = 2 * n * n * ((4 * c + 1) * ridges + (c + 1) * scored + c);
  stage.seconds = stage.flops / (P * skinny(machine, sizes));
  return stage;
}

Stage predict(const Machine& machine, const Sizes& sizes) {
  const double n = real(sizes.n), m = real(sizes.m), P = sizes.ranks();
  const double width = real(sizes.d + sizes.c);
  Stage stage{.name = "predict"};
  stage.bytes = sizes.data_bytes() + std::min(gram::Options{}.panel_bytes, overhead(sizes));
  stage.flops = 2 * m * n * width;
  stage.sent = 8 * n * width * (1 - 1 / P);
  stage.seconds =
      m * n / P *
          (entry_seconds(machine, sizes) + machine.product_seconds(real(sizes.c), false) / 2) +
      n * machine.row + machine.exchange_seconds(stage.sent, 2 * (P - 1));
  return stage;
}

namespace {

/// Dense eigenproblems of order m that every rank has (spectral/replicated.hpp).
double small_seconds(const Machine& machine, const Sizes& sizes, double flops, double m) {
  const int ranks =
      spectral::replicated_ranks(static_cast<Index>(m), sizes.shape.rows * sizes.shape.cols);
  return flops / (kSmallGemm * machine.gemm * ranks);
}

/// `columns` columns, of which `sent` bytes were counted for op.block.
double product_seconds(const Machine& machine, const Sizes& sizes, const Operator& op,
                       double columns, double sent) {
  const double computed = (1 - op.stored_share) * entry_seconds(machine, sizes);
  return op.entries * (machine.product_seconds(columns, in_single(op)) + computed) +
         machine.exchange_seconds(sent, 4 * (sizes.ranks() - 1));
}

}  // namespace

double product_seconds(const Machine& machine, const Sizes& sizes, const Operator& op,
                       double columns) {
  return product_seconds(machine, sizes, op, columns,
                         op.sent * std::max(1.0, columns / real(op.block)));
}

Operator kernel_operator(const Machine& machine, const Sizes& sizes,
                         const gram::OperatorOptions& options, Index block) {
  const double n = real(sizes.n), d = real(sizes.d), P = sizes.ranks();
  const auto planned = [&](const gram::OperatorOptions& o) {
    return gram::plan_operator(*sizes.kernel, sizes.n, sizes.d, block, sizes.shape, o);
  };
  auto everything = options;
  everything.storage = gram::Storage::in_double;
  everything.memory_bytes = std::numeric_limits<double>::infinity();
  const auto plan = planned(options);

  Operator op;
  op.storage = plan.storage;
  op.stored_share = plan.stored_share;
  op.entries = std::max(n * n / (2 * P), planned(everything).tile_bytes / 8);
  op.bytes = plan.bytes();
  op.block = block;
  op.sent = plan.bytes_sent;
  const double rows = n / sizes.shape.rows + n / sizes.shape.cols;
  if (op.stored_share > 0) {
    op.set_up_sent = 8 * d * rows * (1 - 1 / P);
    op.set_up = op.stored_share * op.entries * entry_seconds(machine, sizes) +
                plan.tile_bytes / machine.touch + panel_seconds(machine, sizes, rows) +
                machine.exchange_seconds(op.set_up_sent, 2 * (P - 1));
  }
  op.product = product_seconds(machine, sizes, op, real(block), op.sent);
  return op;
}

Stage store(const Machine&, const Sizes& sizes, const Operator& op) {
  const double n = real(sizes.n);
  return {.name = "assemble",
          .method = gram::name(op.storage),
          .bytes = sizes.data_bytes() + op.bytes,
          .flops = op.stored_share * n * n / 2 * entry_flops(sizes),
          .seconds = op.set_up,
          .sent = op.set_up_sent};
}

Stage product(const Machine&, const Sizes& sizes, const Operator& op) {
  const double n = real(sizes.n);
  return {
      .name = "product",
      .method = fmt::format("{}, store {}", counted(op.block, "column"), gram::name(op.storage)),
      .bytes = sizes.data_bytes() + op.bytes,
      .flops = 2 * n * n * real(op.block) + (1 - op.stored_share) * n * n / 2 * entry_flops(sizes),
      .seconds = op.product,
      .sent = op.sent};
}

double fixed_columns(const Machine& machine, const Sizes& sizes, const Operator& op) {
  return (machine.pass_seconds(in_single(op)) +
          (1 - op.stored_share) * entry_seconds(machine, sizes)) /
         machine.column_seconds();
}

Krylov krylov_run(const Sizes& sizes, const spectral::KrylovOptions& options) {
  Krylov run{.k = options.top};
  run.sizes = spectral::krylov_sizes(sizes.n, sizes.shape.rows * sizes.shape.cols, options);
  run.products = std::min(real(sizes.n), 4.0 * real(run.k) + 8.0 * real(run.sizes.block));
  return run;
}

Stage krylov(const Machine& machine, const Sizes& sizes, const Operator& op, const Krylov& run) {
  const double n = real(sizes.n), P = sizes.ranks(), k = real(run.k), N = run.products;
  const double b = real(run.sizes.block), m = std::min(N, real(run.sizes.basis));
  const double calls = std::ceil(N / b), mean = N > m ? (k + m) / 2 : N / 2;
  const double orthogonalise = 4 * n * mean * N, small = 30 * m * m * m;
  const double vectors = 2 * n * (m + k) * k;
  Stage stage{.name = "eigensolve"};
  stage.method = fmt::format("krylov, {} in blocks of {}", counted(std::lround(N), "product"),
                             run.sizes.block);
  stage.bytes =
      sizes.data_bytes() + op.bytes +
      spectral::krylov_bytes(sizes.n, run.k, sizes.shape.rows * sizes.shape.cols, run.sizes);
  stage.flops = 2 * n * n * (N + 16) +
                (1 - op.stored_share) * (calls + 1) * n * n / 2 * entry_flops(sizes) +
                orthogonalise + small + vectors;
  stage.sent = calls * (op.sent * b / real(op.block) + 2 * 8 * mean * b);
  stage.seconds = calls * product_seconds(machine, sizes, op, b) +
                  product_seconds(machine, sizes, op, 16) + orthogonalise / (P * machine.skinny) +
                  small_seconds(machine, sizes, small, m) + vectors / (P * machine.gemm) +
                  calls * machine.sum_seconds(8 * mean * b, P);
  return stage;
}

namespace {

double sketch_bytes(const Sizes& sizes, double r) {
  return 8 * real(sizes.n) * (r + 128) / sizes.ranks() + 32 * r * r;
}
double descent_bytes(const Sizes& sizes, double r) {
  return 8 * real(sizes.n) * (r + 6 * std::max(1.0, real(sizes.c))) / sizes.ranks();
}

}  // namespace

double conjugate_gradients_bytes(const Sizes& sizes, Index rank) {
  return std::max(rank > 0 ? sketch_bytes(sizes, real(rank)) : 0, descent_bytes(sizes, real(rank)));
}

Stage sketch(const Machine& machine, const Sizes& sizes, const Operator& op, Index rank) {
  const double n = real(sizes.n), P = sizes.ranks(), r = real(rank);
  const double tall = (kProposals + 6) * n * r * r, small = 10 * r * r * r;
  Stage stage{.name = "precondition", .method = fmt::format("pivoted Cholesky, {}", rank)};
  stage.bytes = sizes.data_bytes() + op.bytes + sketch_bytes(sizes, r);
  stage.flops = kProposals * n * r * entry_flops(sizes) + tall + small;
  stage.sent = 8 * r * (kProposals * real(sizes.d) + 3 * r);
  stage.seconds = kProposals * n * r / P * entry_seconds(machine, sizes) +
                  tall / (P * machine.skinny) + small_seconds(machine, sizes, small, r) +
                  machine.sum_seconds(24 * r * r, P);
  return stage;
}

Stage conjugate_gradients(const Machine& machine, const Sizes& sizes, const Operator& op,
                          Index rank, double iterations) {
  const double n = real(sizes.n), P = sizes.ranks(), r = real(rank);
  const double c = std::max(1.0, real(sizes.c)), products = 1.02 * iterations + 1;
  const double inner = 4 * n * r * c + 12 * n * c * c, sums = 8 * (r + 4 * c) * c;
  Stage stage{.name = "solve"};
  stage.method =
      fmt::format("cg, {}, rank {}", counted(std::lround(iterations), "iteration"), rank);
  stage.bytes = sizes.data_bytes() + op.bytes + descent_bytes(sizes, r);
  stage.flops =
      products * (2 * n * n * c + (1 - op.stored_share) * n * n / 2 * entry_flops(sizes)) +
      iterations * inner;
  stage.sent = products * op.sent * c / real(op.block) + iterations * 4 * 2 * sums;
  stage.seconds =
      products * product_seconds(machine, sizes, op, c) +
      iterations * (inner * narrow_flop(machine, c, P) + 16 * 8 * n * c / (P * machine.memory) +
                    4 * machine.sum_seconds(sums, P));
  return stage;
}

Stage descent(const Machine& machine, const Sizes& sizes, double steps, double flops,
              double parameters) {
  const double P = sizes.ranks();
  Stage stage{.name = "train"};
  stage.flops = steps * flops;
  const double bytes = element_bytes(sizes) * parameters;
  stage.sent = steps * 2 * (1 - 1 / P) * bytes;
  stage.seconds =
      steps * (flops / (P * kStep * machine.rate(sizes.single)) + machine.sum_seconds(bytes, P));
  return stage;
}

}  // namespace mercer::drivers::forecast
