#include <algorithm>
#include <cmath>

#include "bench/bench.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/random.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/gram/kernel_operator.hpp"

namespace mercer::bench {
namespace {

using gram::OperatorOptions;
using gram::Storage;

/// Columns first ... first + count - 1 of a Gaussian matrix of d rows.
Matrix<double> normal(Index d, Index first, Index count, std::uint64_t seed, Stream stream) {
  Matrix<double> A(d, count);
  const Random random(seed, stream);
  for (Index j = 0; j < count; ++j)
    for (Index k = 0; k < d; ++k)
      A(k, j) = random.normal(static_cast<std::uint64_t>((first + j) * d + k));
  return A;
}

dist::RowBlock<double> points(const comm::Communicator& comm, Index n, Index d,
                              std::uint64_t seed) {
  dist::RowBlock<double> X(comm, n, d);
  const auto rows = normal(d, X.first_row(), X.local_rows(), seed, Stream::data_inputs);
  std::copy_n(rows.data(), rows.size(), X.values().data());
  return X;
}

/// Times the parts of computing a rank's share of the triangle: the GEMMs of the dot products in
/// tiles of `tile` rows, and the element pass, which is the time of tiles of 16-dimensional inputs
/// less that of their GEMMs.
class PartsAlone {
 public:
  static constexpr Index kNarrow = 16;
  PartsAlone(const kernel::Kernel& kernel, Index n, Index d, Index tile, int ranks)
      : kernel_(kernel),
        tile_(std::min(tile, n)),
        tiles_(0.5 * static_cast<double>(n) * static_cast<double>(n + 1) / ranks /
               static_cast<double>(tile_ * tile_)),
        X_(normal(d, 0, kParts * tile_, 1, Stream::test)),
        narrow_(normal(kNarrow, 0, kParts * tile_, 2, Stream::test)),
        rows_(kernel.prepare(narrow_.copy())),
        out_(tile_, tile_) {}

  double gram_gemm(const comm::Communicator& comm) { return gemms(comm, X_); }
  double elements(const comm::Communicator& comm) {
    const double both =
        for_tiles(comm, [&](Index i, Index j) { kernel_.tile(*rows_, i, *rows_, j, out_.view()); });
    return both - gemms(comm, narrow_);
  }

 private:
  static constexpr Index kParts = 6;

  double gemms(const comm::Communicator& comm, const Matrix<double>& X) {
    return for_tiles(comm, [&](Index i, Index j) {
      blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1.0,
                         X.view().block(0, i, X.rows(), tile_),
                         X.view().block(0, j, X.rows(), tile_), 0.0, out_.view());
    });
  }
  /// Seconds of f for as many off-diagonal tiles as make a rank's share of the entries.
  template <class F>
  double for_tiles(const comm::Communicator& comm, F&& f) {
    const auto whole = static_cast<Index>(std::ceil(tiles_));
    const double t = seconds(comm, [&] {
      for (Index k = 0; k < whole; ++k)
        f((k % (kParts / 2)) * tile_, (kParts / 2 + k / (kParts / 2) % (kParts / 2)) * tile_);
    });
    return t * tiles_ / static_cast<double>(whole);
  }

  const kernel::Kernel& kernel_;
  Index tile_;
  double tiles_;
  Matrix<double> X_, narrow_;
  std::unique_ptr<kernel::Rows> rows_;
  Matrix<double> out_;
};

struct Way {
  std::string name;
  std::unique_ptr<gram::KernelOperator> of;
  std::vector<double> times{};
  double sent = 0;
};

/// Block products for every storage of K, timed in turn with dgemm and the parts of a tile.
class OperatorBench {
 public:
  OperatorBench(const Bench& bench, const ProductBench& options, const kernel::Kernel& kernel)
      : bench_(bench),
        job_(options),
        comm_(bench.comm()),
        X_(points(comm_, job_.n, job_.d, bench.seed)),
        alone_(kernel, job_.n, job_.d, plan(bench, options, kernel).tile, comm_.size()) {
    const auto single = plan(bench, options, kernel);
    const double least = single.scratch_bytes + single.vector_bytes;
    add(kernel, "double", Storage::in_double, kPlenty);
    add(kernel, "single", Storage::in_single, kPlenty);
    // Memory for half of the tiles, or more: panels are kept where they take at most half of it.
    add(kernel, "mixed", Storage::mixed,
        least + std::max(2 * single.panel_bytes, single.panel_bytes + 0.5 * single.tile_bytes));
    add(kernel, "none", Storage::none, kPlenty);
    if (const double memory = streamed(kernel, least, single.panel_bytes); memory > 0)
      add(kernel, "none, X fetched again", Storage::none, memory);
  }

  /// The plan of an operator with all tiles in single precision.
  static gram::OperatorPlan plan(const Bench& bench, const ProductBench& job,
                                 const kernel::Kernel& kernel) {
    return gram::plan_operator(kernel, job.n, job.d, job.block, bench.grid.shape(),
                               options(job, Storage::in_single, kPlenty), bench.comm().size());
  }

  void measure() {
    const dist::RowPartition rows{job_.n, comm_.size()};
    const Index own = rows.size(comm_.rank());
    const auto V = normal(own, comm_.rank() * job_.block, job_.block, bench_.seed, Stream::probe);
    Matrix<double> Y(own, job_.block);
    for (auto& way : ways_) way.of->apply(V.view(), Y.view());  // the first product allocates
    for (int r = 0; r < bench_.repeat; ++r) {
      peak_.push_back(gemm_peak<double>(comm_));
      gemm_.push_back(alone_.gram_gemm(comm_));
      elements_.push_back(alone_.elements(comm_));
      for (auto& way : ways_) {
        const auto before = comm::bytes_sent();
        way.times.push_back(seconds(comm_, [&] { way.of->apply(V.view(), Y.view()); }));
        way.sent =
            static_cast<double>(comm_.all_reduce(comm::bytes_sent() - before, comm::Op::max));
      }
      over_parts_.push_back(ways_[kNone].times.back() /
                            (gemm_.back() + elements_.back() + ways_[kDouble].times.back()));
    }
  }

  Json report() {
    const double flops = 2.0 * static_cast<double>(job_.n) * static_cast<double>(job_.n) *
                         static_cast<double>(job_.block) / comm_.size();
    const double ceiling = median(peak_);
    bench_.say("block products of {} columns; tiles of {} rows; dgemm {:.1f} GFLOP/s a rank",
               job_.block, ways_[kDouble].of->plan().tile, 1e-9 * ceiling);
    bench_.say("{:<22} {:>9} {:>9} {:>8} {:>8} {:>12} {:>14} {:>14}", "kept", "seconds", "GFLOP/s",
               "of peak", "share", "a rank", "bytes sent", "by the plan");
    auto rows = Json::array();
    for (const auto& way : ways_) {
      const double t = median(way.times);
      const auto& plan = way.of->plan();
      bench_.say("{:<22} {:>9.4f} {:>9.1f} {:>7.0f}% {:>7.0f}% {:>12} {:>14.0f} {:>14.0f}",
                 way.name, t, 1e-9 * flops / t, 100 * flops / t / ceiling, 100 * plan.stored_share,
                 format_bytes(plan.bytes()), way.sent, plan.bytes_sent);
      rows.push_back(Json{{"storage", way.name},
                          {"n", job_.n},
                          {"d", job_.d},
                          {"block", job_.block},
                          {"tile", plan.tile},
                          {"seconds", t},
                          {"gflops_per_rank", 1e-9 * flops / t},
                          {"gflops_gemm", 1e-9 * ceiling},
                          {"share_of_peak", flops / t / ceiling},
                          {"stored_share", plan.stored_share},
                          {"bytes", plan.bytes()},
                          {"bytes_sent", way.sent},
                          {"bytes_planned", plan.bytes_sent}});
    }
    Json result;
    result["rows"] = rows;
    result["seconds_gram_gemm"] = median(gemm_);
    result["seconds_elements"] = median(elements_);
    result["ratio_on_the_fly"] = median(over_parts_);
    bench_.say(
        "none: {:.4f} s; its parts: Gram GEMM {:.4f} + elements {:.4f} + product {:.4f} s; ratio "
        "{:.3f} (median of {}; {:.3f} ... {:.3f})",
        median(ways_[kNone].times), median(gemm_), median(elements_), median(ways_[kDouble].times),
        median(over_parts_), bench_.repeat, *std::ranges::min_element(over_parts_),
        *std::ranges::max_element(over_parts_));
    return result;
  }

 private:
  static constexpr double kPlenty = 1e18;
  static constexpr std::size_t kDouble = 0, kNone = 3;

  static OperatorOptions options(const ProductBench& job, Storage storage, double memory) {
    return {.storage = storage, .memory_bytes = memory, .block = job.block};
  }
  /// Memory for a quarter of the panels, or for half where that is too little; 0 where both are.
  double streamed(const kernel::Kernel& kernel, double least, double panels) const {
    for (const double share : {0.25, 0.5}) try {
        gram::plan_operator(kernel, job_.n, job_.d, job_.block, bench_.grid.shape(),
                            options(job_, Storage::none, least + share * panels), comm_.size());
        return least + share * panels;
      } catch (const MemoryError&) {  // alike on every rank
      }
    return 0;
  }
  void add(const kernel::Kernel& kernel, const std::string& name, Storage storage, double memory) {
    ways_.push_back({name, std::make_unique<gram::KernelOperator>(kernel, X_, bench_.grid,
                                                                  options(job_, storage, memory))});
  }

  const Bench& bench_;
  const ProductBench& job_;
  comm::Communicator comm_;
  dist::RowBlock<double> X_;
  PartsAlone alone_;
  std::vector<Way> ways_;
  std::vector<double> peak_, gemm_, elements_, over_parts_;
};

}  // namespace

double bytes(const Bench& bench, const ProductBench& options, const kernel::Kernel& kernel) {
  const auto single = OperatorBench::plan(bench, options, kernel);
  return 4 * single.tile_bytes + 5 * (single.vector_bytes + single.panel_bytes);
}

Json products(const Bench& bench, const ProductBench& options, const kernel::Kernel& kernel) {
  OperatorBench ways(bench, options, kernel);
  ways.measure();
  return ways.report();
}

}  // namespace mercer::bench
