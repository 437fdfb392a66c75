#include "mercer/krr/conjugate_gradients.hpp"

#include <algorithm>
#include <cmath>

#include "bench/bench.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::bench {
namespace {

class Comparison {
 public:
  Comparison(const Bench& bench, const CgBench& options, const gram::Operator& K,
             const dist::RowBlock<double>& Y, Index outputs, double mean_diagonal)
      : bench_(bench),
        job_(options),
        K_(K),
        Y_(dist::to_columns(Y)),
        B_(Y_.view().block(0, 0, Y_.rows(), outputs)),
        ridge_(options.ridge * mean_diagonal) {
    bench_.say("{:<24} {:>10} {:>10} {:>12} {:>12} {:>14} {:>10}", "preconditioner", "captured",
               "set-up s", "iterations", "solve s", "/ plain", "residual");
  }

  /// One row of the table: makes a preconditioner and solves with it.
  template <class Make>
  void add(Make&& make) {
    krr::LowRankPreconditioner M;
    const double setup = seconds(bench_.comm(), [&] { M = make(); });
    krr::CgResult result;
    const double solve = seconds(bench_.comm(), [&] {
      result = krr::conjugate_gradients(
          K_, ridge_, M, B_, {.tolerance = job_.tolerance, .max_iterations = job_.iterations});
    });
    if (rows_.empty()) plain_ = result.iterations;
    const double share = static_cast<double>(result.iterations) / static_cast<double>(plain_);
    const double residual = *std::ranges::max_element(result.residuals);
    bench_.say("{:<24} {:>9.4f}  {:>10.2f} {:>12} {:>12.2f} {:>14.3f} {:>10.1e}", M.text(),
               M.captured(), setup, result.iterations, solve, share, residual);
    if (!result.converged) bench_.say("  {}", result.stagnation);
    rows_.push_back(Json{{"n", K_.size()},
                         {"outputs", B_.cols},
                         {"preconditioner", M.text()},
                         {"rank", M.rank()},
                         {"captured", M.captured()},
                         {"ridge", ridge_},
                         {"ridge_relative", job_.ridge},
                         {"seconds_setup", setup},
                         {"iterations", result.iterations},
                         {"seconds", solve},
                         {"iterations_over_plain", share},
                         {"residual", residual},
                         {"converged", result.converged}});
  }
  const Json& rows() const { return rows_; }

 private:
  const Bench& bench_;
  const CgBench& job_;
  const gram::Operator& K_;
  Matrix<double> Y_;
  MatrixView<const double> B_;
  double ridge_;
  Json rows_ = Json::array();
  Index plain_ = 1;
};

/// K gets half of the memory.
gram::OperatorOptions storage(const Bench& bench, const CgBench& options, Index outputs) {
  return {.storage = options.single ? gram::Storage::in_single : gram::Storage::automatic,
          .memory_bytes = 0.5 * bench.memory_limit,
          .block = outputs};
}

double mean_diagonal(const gram::Operator& K, const comm::Communicator& comm) {
  std::vector<double> diagonal(static_cast<std::size_t>(K.local_rows()));
  K.diagonal(diagonal);
  double sum = 0;
  for (const double x : diagonal) sum += x;
  return comm.all_reduce(sum, comm::Op::sum) / static_cast<double>(K.size());
}

}  // namespace

Index outputs(const CgBench& options, const data::Dataset& set) {
  return options.outputs > 0 ? std::min(options.outputs, set.outputs()) : set.outputs();
}

double bytes(const Bench& bench, const CgBench& options, const kernel::Kernel& kernel,
             const data::Dataset& set) {
  const Index n = set.rows(), c = outputs(options, set);
  const int ranks = bench.comm().size();
  const auto stored = gram::plan_operator(kernel, n, set.dimension(), c, bench.grid.shape(),
                                          storage(bench, options, c), ranks);
  const double rank =
      std::max(*std::ranges::max_element(options.ranks), static_cast<double>(options.top));
  return stored.bytes() +
         8 * static_cast<double>(ceil_div(n, ranks)) * (2 * rank + 8 * static_cast<double>(c)) +
         24 * rank * rank;
}

Json conjugate_gradients(const Bench& bench, const CgBench& options, const kernel::Kernel& kernel,
                         const data::Dataset& set) {
  const Index c = outputs(options, set);
  const gram::KernelOperator K(kernel, set.inputs, bench.grid, storage(bench, options, c));
  bench.say("{}\n{} outputs, relative ridge {:.3g}, to {:.1e}\n", K.text(), c, options.ridge,
            options.tolerance);
  Comparison comparison(bench, options, K, set.targets, c, mean_diagonal(K, bench.comm()));
  comparison.add([] { return krr::LowRankPreconditioner(); });
  for (const double r : options.ranks)
    if (r > 0)
      comparison.add([&] {
        return krr::LowRankPreconditioner::pivoted_cholesky(K, static_cast<Index>(r), bench.seed);
      });
  if (options.top > 0)
    comparison.add([&] {
      return krr::LowRankPreconditioner::from_pairs(spectral::krylov(
          K, {.top = std::min(options.top, set.rows()), .tolerance = 1e-6, .seed = bench.seed}));
    });
  return comparison.rows();
}

}  // namespace mercer::bench
