#include "mercer/spectral/krylov.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "bench/bench.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/gram/kernel_operator.hpp"

namespace mercer::bench {
namespace {

using spectral::Method;

/// The first n rows of a set that is read, or n rows of a synthetic one.
dist::RowBlock<double> points(const Bench& bench, const KrylovBench& job, Index n) {
  const auto colon = job.data.find(':');
  const std::string kind = job.data.substr(0, colon);
  auto preparation = job.preparation;
  preparation.seed = bench.seed;
  std::string spec = job.data;
  if (kind == "sphere" || kind == "gaussian" || kind == "circle")
    spec = fmt::format("{}:n={}{}{}", kind, n, colon == std::string::npos ? "" : ",",
                       colon == std::string::npos ? "" : job.data.substr(colon + 1));
  else
    preparation.limit = n;
  return data::load_inputs(spec, preparation, bench.comm()).inputs;
}

/// The times of one solver so far, and its largest residual in the last run.
struct Taken {
  std::vector<double> seconds;
  double residual = 0;
};

class Comparison {
 public:
  Comparison(const Bench& bench, const KrylovBench& options, const kernel::Kernel& kernel)
      : bench_(bench), job_(options), kernel_(kernel) {
    bench_.say("{:>7} {:>6}  {:<10} {:>9} {:>9} {:>10} {:>9} {:>9} {:>6}", "n", "k", "method",
               "seconds", "/ krylov", "residual", "products", "restarts", "block");
  }

  void add(Index n, Index k) {
    const auto X = points(bench_, job_, n);
    Taken iterative;
    std::map<Method, Taken> direct;
    spectral::TopPairs last;
    for (int r = 0; r < bench_.repeat; ++r) {
      last = run_krylov(X, k, iterative);
      for (const Method method : job_.against) run_direct(X, k, method, direct[method]);
    }
    report(n, k, last, iterative, direct);
  }
  const Json& rows() const { return rows_; }

 private:
  spectral::TopPairs run_krylov(const dist::RowBlock<double>& X, Index k, Taken& taken) {
    gram::OperatorOptions store;
    store.storage = job_.storage;
    store.memory_bytes = bench_.memory_limit;
    const gram::KernelOperator K(kernel_, X, bench_.grid, store);
    spectral::TopPairs pairs;
    taken.seconds.push_back(seconds(bench_.comm(), [&] {
      pairs = spectral::krylov(K, {.top = k,
                                   .tolerance = job_.tolerance,
                                   .block = job_.block,
                                   .basis = job_.basis,
                                   .seed = bench_.seed});
    }));
    spectral::measure_residuals(K, pairs);
    taken.residual = *std::ranges::max_element(pairs.residuals);
    return pairs;
  }

  void run_direct(const dist::RowBlock<double>& X, Index k, Method method, Taken& taken) {
    auto K = gram::assemble<double>(kernel_, X, bench_.grid, {.nb = bench_.block_of(X.rows())});
    taken.seconds.push_back(seconds(bench_.comm(), [&] {
      const auto pairs = spectral::eigenpairs(std::move(K), {.top = k, .method = method});
      taken.residual = *std::ranges::max_element(pairs.residuals);
    }));
  }

  void report(Index n, Index k, const spectral::TopPairs& pairs, const Taken& iterative,
              const std::map<Method, Taken>& direct) {
    const double t = median(iterative.seconds);
    bench_.say("{:>7} {:>6}  {:<10} {:>9.3f} {:>9} {:>10.1e} {:>9} {:>9} {:>6}", n, k, "krylov", t,
               "", iterative.residual, pairs.products, pairs.restarts, pairs.block);
    Json row{{"n", n},
             {"k", k},
             {"tolerance", job_.tolerance},
             {"seconds", t},
             {"residual", iterative.residual},
             {"orthogonality", pairs.orthogonality},
             {"products", pairs.products},
             {"products_over_k", static_cast<double>(pairs.products) / static_cast<double>(k)},
             {"restarts", pairs.restarts},
             {"block", pairs.block},
             {"basis", pairs.basis}};
    double best = INFINITY;
    for (const auto& [method, taken] : direct) {
      const double s = median(taken.seconds);
      best = std::min(best, s);
      bench_.say("{:>7} {:>6}  {:<10} {:>9.3f} {:>9.2f} {:>10.1e}", n, k, spectral::name(method), s,
                 s / t, taken.residual);
      row["seconds_" + spectral::name(method)] = s;
    }
    if (!direct.empty()) {
      bench_.say("{:>7} {:>6}  the fastest direct solver takes {:.2f} times as long", n, k,
                 best / t);
      row["factor"] = best / t;
    }
    rows_.push_back(std::move(row));
  }

  const Bench& bench_;
  const KrylovBench& job_;
  const kernel::Kernel& kernel_;
  Json rows_ = Json::array();
};

}  // namespace

Json krylov(const Bench& bench, const KrylovBench& options, const kernel::Kernel& kernel,
            const std::vector<Index>& sizes, const std::vector<double>& shares) {
  Comparison comparison(bench, options, kernel);
  for (const Index n : sizes)
    for (const double share : shares)
      comparison.add(n, std::clamp<Index>(std::lround(static_cast<double>(n) * share), 1, n));
  return comparison.rows();
}

}  // namespace mercer::bench
