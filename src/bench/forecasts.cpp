#include <algorithm>
#include <cmath>

#include "bench/bench.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/krr/cost.hpp"

namespace mercer::bench {
namespace {

using gram::Sizes;

/// What a line of the table is for.
struct Case {
  const ForecastBench& job;
  const plan::Machine& machine;
  Sizes sizes;
  double baseline, limit;
};

/// A job's stages, and how much of K it stores.
struct Forecast {
  plan::Plan plan;
  std::string store;
  double stored_share = 1;
  std::string refused{};     ///< why there is no plan; else empty
  double fixed_columns = 0;  ///< plan::fixed_columns() of its operator
};

gram::OperatorOptions operator_options(const Case& c, double beside) {
  // Tiles, panels and vectors get the memory that remains, 1 MiB at least.
  constexpr double least = 1024.0 * 1024;
  return {.storage = c.job.storage,
          .memory_bytes = std::max(least, c.limit - c.baseline - c.sizes.data_bytes() - beside)};
}

Forecast eigenpairs(const Case& c, Index k) {
  const auto choice = spectral::choose(c.sizes.n, k, true, c.sizes.shape, c.sizes.single);
  Forecast f{plan::Plan(c.baseline, true), c.sizes.single ? "single" : "double"};
  f.plan.stage(plan::assemble(c.machine, c.sizes));
  f.plan.stage(plan::eigensolve(c.machine, c.sizes, choice.method, k));
  return f;
}

Forecast by_cholesky(const Case& c) {
  Forecast f{plan::Plan(c.baseline, true), c.sizes.single ? "single" : "double"};
  f.plan.stage(plan::assemble(c.machine, c.sizes));
  f.plan.stage(plan::cholesky(c.machine, c.sizes));
  f.plan.stage(plan::predict(c.machine, c.sizes));
  return f;
}

Forecast with_operator(const Case& c, const gram::OperatorCost& op) {
  Forecast f{plan::Plan(c.baseline, true), gram::name(op.storage), op.stored_share};
  if (op.stored_share > 0) f.plan.stage(plan::store(c.machine, c.sizes, op));
  return f;
}

Forecast by_product(const Case& c) {
  const auto op = gram::operator_cost(c.sizes, operator_options(c, 0), c.job.columns);
  Forecast f = with_operator(c, op);
  f.plan.stage(plan::product(c.machine, c.sizes, op));
  return f;
}

/// With blocks for `fixed` fixed columns (KrylovOptions::fixed_columns), and at most half of the
/// memory for the basis.
Forecast by_krylov(const Case& c, Index k, double fixed) {
  const double room = c.limit - c.baseline - c.sizes.data_bytes();
  const auto run = spectral::krylov_plan(
      c.sizes, {.top = k, .basis_bytes = std::max(1.0, 0.5 * room), .fixed_columns = fixed});
  const double beside =
      spectral::krylov_bytes(c.sizes.n, k, c.sizes.shape.rows * c.sizes.shape.cols, run.sizes);
  const auto op = gram::operator_cost(c.sizes, operator_options(c, beside), run.sizes.block);
  Forecast f = with_operator(c, op);
  f.plan.stage(plan::krylov(c.machine, c.sizes, op, run));
  f.fixed_columns = plan::fixed_columns(c.machine, c.sizes, op);
  return f;
}

/// With wider blocks, which pay where products recompute tiles, if they fit and are faster.
Forecast by_krylov(const Case& c) {
  const Index k = std::min(c.job.k, c.sizes.n);
  Forecast narrow = by_krylov(c, k, 0);
  try {
    Forecast wide = by_krylov(c, k, narrow.fixed_columns);
    return wide.plan.seconds() < narrow.plan.seconds() ? std::move(wide) : std::move(narrow);
  } catch (const MemoryError&) {
    return narrow;
  }
}

Forecast by_conjugate_gradients(const Case& c) {
  const Index rank = std::min(c.job.rank, c.sizes.n);
  const auto op = gram::operator_cost(
      c.sizes, operator_options(c, krr::conjugate_gradients_bytes(c.sizes, rank)),
      std::max<Index>(1, c.sizes.c));
  Forecast f = with_operator(c, op);
  if (rank > 0) f.plan.stage(plan::sketch(c.machine, c.sizes, op, rank));
  f.plan.stage(plan::conjugate_gradients(c.machine, c.sizes, op, rank, c.job.iterations));
  f.plan.stage(plan::predict(c.machine, c.sizes));
  return f;
}

struct Method {
  const char* name;
  const char* text;
  Forecast (*forecast)(const Case&);
};
constexpr Method kMethods[] = {
    {"eig", "all eigenpairs, direct", [](const Case& c) { return eigenpairs(c, c.sizes.n); }},
    {"eig-top", "top k, direct",
     [](const Case& c) { return eigenpairs(c, std::min(c.job.k, c.sizes.n)); }},
    {"krylov", "top k, block Krylov", by_krylov},
    {"cholesky", "ridge regression", by_cholesky},
    {"cg", "the same, iterative", by_conjugate_gradients},
    {"product", "K times 64 columns", by_product},
};

std::vector<Method> methods(const std::vector<std::string>& names) {
  std::vector<Method> chosen;
  for (const auto& name : names) {
    bool known = false;
    for (const Method& method : kMethods)
      if (name == "all" || name == method.name) chosen.push_back(method), known = true;
    if (!known)
      throw InputError("`method` {}: is none of eig, eig-top, krylov, cholesky, cg, product, all",
                       name);
  }
  return chosen;
}

/// The method's forecast, or why its operator does not fit the limit.
Forecast attempt(const Case& c, const Method& method) {
  try {
    return method.forecast(c);
  } catch (const MemoryError& error) {
    return {plan::Plan(c.baseline, true), "-", 0, error.what()};
  }
}

Json row(const Case& c, const Method& method, const Forecast& f) {
  Json object{{"method", method.name},
              {"n", c.sizes.n},
              {"d", c.sizes.d},
              {"k", std::min(c.job.k, c.sizes.n)},
              {"ranks", c.sizes.shape.rows * c.sizes.shape.cols}};
  if (!f.refused.empty()) {
    object.update({{"seconds", nullptr}, {"fits", false}, {"refused", f.refused}});
    return object;
  }
  object.update({{"store", f.store},
                 {"stored_share", f.stored_share},
                 {"seconds", f.plan.seconds()},
                 {"bytes_per_rank", f.plan.peak()},
                 {"bytes_sent_per_rank", f.plan.sent()},
                 {"flops", f.plan.flops()},
                 {"fits", f.plan.peak() <= c.limit},
                 {"stages", f.plan.json()}});
  return object;
}

void print(const Case& c, const Method& method, const Forecast& f, const Bench& bench) {
  const int ranks = c.sizes.shape.rows * c.sizes.shape.cols;
  if (!f.refused.empty()) {
    bench.say("{:>9} {:>8} {:<9} {:<11} {:>10} {:>12} {:>12} {:<4}  {}", c.sizes.n, ranks,
              method.name, "-", "-", "-", "-", "no", f.refused);
    return;
  }
  std::string where = f.store;
  if (f.store == "mixed") where += fmt::format(" {:.0f}%", 100 * f.stored_share);
  std::string stages;
  for (const auto& stage : f.plan.json())
    stages += fmt::format("{}{} {}", stages.empty() ? "" : ", ", stage["name"].get<std::string>(),
                          plan::format_seconds(stage["seconds"].get<double>()));
  bench.say("{:>9} {:>8} {:<9} {:<11} {:>10} {:>12} {:>12} {:<4}  {}", c.sizes.n, ranks,
            method.name, where, plan::format_seconds(f.plan.seconds()), format_bytes(f.plan.peak()),
            format_bytes(f.plan.sent()), f.plan.peak() <= c.limit ? "fits" : "no", stages);
}

}  // namespace

std::string limits_text(const std::vector<ForecastRanks>& all) {
  std::string limits;
  for (const auto& ranks : all) {
    const auto text = format_bytes(ranks.limit);
    if (limits.find(text) == std::string::npos) limits += (limits.empty() ? "" : ", ") + text;
  }
  return limits;
}

void check_methods(const std::vector<std::string>& names) {
  (void)methods(names);
}

Json forecasts(const Bench& bench, const ForecastBench& options, const kernel::Kernel& kernel,
               const std::vector<ForecastRanks>& all) {
  const auto chosen = methods(options.methods);
  bench.say("{:>9} {:>8} {:<9} {:<11} {:>10} {:>12} {:>12} {:<4}  {}", "n", "ranks", "method",
            "store", "time", "memory/rank", "sent/rank", "fits", "stages");
  auto rows = Json::array();
  for (const Index n : options.n)
    for (const auto& ranks : all) {
      const auto shape = ranks.target.shape;
      const Case c{options,
                   ranks.there.machine,
                   {.n = n,
                    .d = options.d,
                    .c = options.outputs,
                    .m = options.predict,
                    .shape = shape,
                    .nb = spectral::recommended_block(n, shape),
                    .single = options.single,
                    .kernel = gram::borrowed(kernel)},
                   options.baseline,
                   ranks.limit};
      for (const Method& method : chosen) {
        const Forecast f = attempt(c, method);
        print(c, method, f, bench);
        rows.push_back(row(c, method, f));
      }
    }
  return rows;
}

}  // namespace mercer::bench
