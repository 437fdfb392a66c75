#include <algorithm>
#include <cmath>

#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "shared/bench.hpp"
#include "shared/forecast.hpp"

namespace mercer::drivers {
namespace {

using forecast::Sizes;
using Json = nlohmann::ordered_json;

struct PlanJob {
  CommonOptions common;
  std::string n = "60000,1000000", ranks, methods = "all", storage = "auto";
  Index d = 784, outputs = 10, predict = 10000, k = 200, rank = 600, columns = 64;
  double iterations = 100;
};

/// What a table line is about.
struct Case {
  const PlanJob& job;
  const Machine& machine;
  Sizes sizes;
  double baseline, limit;
};

/// A job's stages, and what it keeps of K.
struct Forecast {
  Plan plan;
  std::string store;
  double stored_share = 1;
  std::string refused{};     ///< why there is no such plan; else empty
  double fixed_columns = 0;  ///< of its operator
};

gram::OperatorOptions operator_options(const Case& c, double beside) {
  // What is left of the limit for tiles, panels and vectors.
  constexpr double least = 1024.0 * 1024;
  return {.storage = gram::parse_storage(c.job.storage),
          .memory_bytes = std::max(least, c.limit - c.baseline - c.sizes.data_bytes() - beside)};
}

Forecast eigenpairs(const Case& c, Index k) {
  const auto choice = spectral::choose(c.sizes.n, k, true, c.sizes.shape, c.sizes.single);
  Forecast f{Plan(c.baseline, true), c.sizes.single ? "single" : "double"};
  f.plan.stage(forecast::assemble(c.machine, c.sizes));
  f.plan.stage(forecast::eigensolve(c.machine, c.sizes, choice.method, k));
  return f;
}

Forecast by_cholesky(const Case& c) {
  Forecast f{Plan(c.baseline, true), c.sizes.single ? "single" : "double"};
  f.plan.stage(forecast::assemble(c.machine, c.sizes));
  f.plan.stage(forecast::cholesky(c.machine, c.sizes));
  f.plan.stage(forecast::predict(c.machine, c.sizes));
  return f;
}

Forecast with_operator(const Case& c, const forecast::Operator& op) {
  Forecast f{Plan(c.baseline, true), gram::name(op.storage), op.stored_share};
  if (op.stored_share > 0) f.plan.stage(forecast::store(c.machine, c.sizes, op));
  return f;
}

Forecast by_product(const Case& c) {
  const auto op =
      forecast::kernel_operator(c.machine, c.sizes, operator_options(c, 0), c.job.columns);
  Forecast f = with_operator(c, op);
  f.plan.stage(forecast::product(c.machine, c.sizes, op));
  return f;
}

/// With blocks as wide as `fixed` columns ask for, and half of the memory for the basis at most.
Forecast by_krylov(const Case& c, Index k, double fixed) {
  const double room = c.limit - c.baseline - c.sizes.data_bytes();
  const auto run = forecast::krylov_run(
      c.sizes, {.top = k, .basis_bytes = std::max(1.0, 0.5 * room), .fixed_columns = fixed});
  const double beside =
      spectral::krylov_bytes(c.sizes.n, k, c.sizes.shape.rows * c.sizes.shape.cols, run.sizes);
  const auto op =
      forecast::kernel_operator(c.machine, c.sizes, operator_options(c, beside), run.sizes.block);
  Forecast f = with_operator(c, op);
  f.plan.stage(forecast::krylov(c.machine, c.sizes, op, run));
  f.fixed_columns = forecast::fixed_columns(c.machine, c.sizes, op);
  return f;
}

/// Wider blocks where much is computed again in every product, if they fit and are faster.
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
  const auto op = forecast::kernel_operator(
      c.machine, c.sizes, operator_options(c, forecast::conjugate_gradients_bytes(c.sizes, rank)),
      std::max<Index>(1, c.sizes.c));
  Forecast f = with_operator(c, op);
  if (rank > 0) f.plan.stage(forecast::sketch(c.machine, c.sizes, op, rank));
  f.plan.stage(forecast::conjugate_gradients(c.machine, c.sizes, op, rank, c.job.iterations));
  f.plan.stage(forecast::predict(c.machine, c.sizes));
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

std::vector<Method> methods(const std::string& text) {
  std::vector<Method> chosen;
  std::stringstream stream(text);
  std::string word;
  while (std::getline(stream, word, ',')) {
    bool known = false;
    for (const Method& method : kMethods)
      if (word == "all" || word == method.name) chosen.push_back(method), known = true;
    if (!known)
      throw InputError(
          "--method {}: '{}' is none of eig, eig-top, krylov, cholesky, cg, product, all", text,
          word);
  }
  if (chosen.empty()) throw InputError("--method: give all, or some of the methods");
  return chosen;
}

std::vector<Index> sizes_of(const std::string& option, const std::string& text, double most) {
  std::vector<Index> sizes;
  for (const double x : parse_numbers(option, text)) {
    if (!(x >= 1 && x <= most && x == std::floor(x)))
      throw InputError("{} {}: {} is no whole number of 1 ... {}", option, text, x, most);
    sizes.push_back(static_cast<Index>(x));
  }
  return sizes;
}

/// The method's forecast, or why its operator does not fit the limit.
Forecast attempt(const Case& c, const Method& method) {
  try {
    return method.forecast(c);
  } catch (const MemoryError& error) {
    return {Plan(c.baseline, true), "-", 0, error.what()};
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

void print(const Case& c, const Method& method, const Forecast& f, const Session& session) {
  const int ranks = c.sizes.shape.rows * c.sizes.shape.cols;
  if (!f.refused.empty()) {
    session.say("{:>9} {:>8} {:<9} {:<11} {:>10} {:>12} {:>12} {:<4}  {}", c.sizes.n, ranks,
                method.name, "-", "-", "-", "-", "no", f.refused);
    return;
  }
  std::string where = f.store;
  if (f.store == "mixed") where += fmt::format(" {:.0f}%", 100 * f.stored_share);
  std::string stages;
  for (const auto& stage : f.plan.json())
    stages += fmt::format("{}{} {}", stages.empty() ? "" : ", ", stage["name"].get<std::string>(),
                          format_seconds(stage["seconds"].get<double>()));
  session.say("{:>9} {:>8} {:<9} {:<11} {:>10} {:>12} {:>12} {:<4}  {}", c.sizes.n, ranks,
              method.name, where, format_seconds(f.plan.seconds()), format_bytes(f.plan.peak()),
              format_bytes(f.plan.sent()), f.plan.peak() <= c.limit ? "fits" : "no", stages);
}

void add_options(CommandLine& line, PlanJob& job) {
  namespace po = boost::program_options;
  auto add = line.group("Plan").add_options();
  add("n", po::value(&job.n)->value_name("N,...")->default_value(job.n), "rows");
  add("d", po::value(&job.d)->value_name("D")->default_value(784), "numbers in a row");
  add("outputs", po::value(&job.outputs)->value_name("C")->default_value(10), "targets");
  add("predict", po::value(&job.predict)->value_name("M")->default_value(10000),
      "rows to predict after a fit");
  add("k", po::value(&job.k)->value_name("K")->default_value(200), "eigenpairs of eig-top, krylov");
  add("ranks", po::value(&job.ranks)->value_name("P,..."),
      "numbers of ranks (default: this run's)");
  add("method", po::value(&job.methods)->value_name("NAME,...")->default_value(job.methods),
      "eig (all pairs), eig-top (k of them, direct), krylov (k, iterative), cholesky (ridge "
      "regression), cg (the same, iterative), product (K times --columns vectors), all");
  add("storage", po::value(&job.storage)->value_name("NAME")->default_value(job.storage),
      "what krylov, cg and product keep of K: auto (by --memory-limit), double, single, mixed, "
      "none");
  add("iterations", po::value(&job.iterations)->value_name("N")->default_value(100.0, "100"),
      "of cg");
  add("rank", po::value(&job.rank)->value_name("R")->default_value(600),
      "of cg's preconditioner; 0: none");
  add("columns", po::value(&job.columns)->value_name("B")->default_value(64), "of product");
}

void check(const PlanJob& job) {
  const auto at_least = [](const char* option, double value, double least) {
    if (!(value >= least)) throw InputError("{} {}: give at least {}", option, value, least);
  };
  at_least("--d", static_cast<double>(job.d), 1);
  at_least("--k", static_cast<double>(job.k), 1);
  at_least("--outputs", static_cast<double>(job.outputs), 1);
  at_least("--predict", static_cast<double>(job.predict), 0);
  at_least("--rank", static_cast<double>(job.rank), 0);
  at_least("--columns", static_cast<double>(job.columns), 1);
  at_least("--iterations", job.iterations, 0);
}

/// One number of ranks of the table.
struct Ranks {
  Target target;
  TargetMachine there;
  double limit = 0;  ///< bytes a rank
};

/// A node has --ranks-per-node ranks, or as many as this machine has cores.
Ranks ranks_of(const PlanJob& job, Index ranks, const Machine& measured, Session& session) {
  const auto& comm = session.comm();
  TargetOptions options = job.common.target;
  if (ranks != comm.size() || options.ranks_per_node > 0) options.ranks = ranks;
  Ranks result{target_of(options, "", job.common.threads, comm), {}, job.common.memory_limit};
  result.there = machine_of(measured, result.target, options);
  if (result.limit <= 0) result.limit = memory_per_rank(comm, result.target.ranks_per_node).bytes;
  return result;
}

void print_header(const PlanJob& job, const std::vector<Ranks>& all, double baseline,
                  const Session& session) {
  std::string limits;
  for (const auto& ranks : all) {
    const auto text = format_bytes(ranks.limit);
    if (limits.find(text) == std::string::npos) limits += (limits.empty() ? "" : ", ") + text;
  }
  session.say(
      "memory  {} a rank ({}), of it {} before the start", limits,
      job.common.memory_limit > 0 ? "--memory-limit" : "this machine's, over a node's ranks",
      format_bytes(baseline));
  for (const auto& ranks : all) {
    session.say("ranks   {}", text(ranks.target));
    for (const auto& line : ranks.there.assumptions) session.say("assumed {}", line);
  }
  session.say("d = {}, k = {}, {}, {} predicted; cg: {} iterations, rank {}\n", job.d, job.k,
              counted(job.outputs, "output"), counted(job.predict, "row"), job.iterations,
              job.rank);
}

int forecast_all(const PlanJob& job, const gram::Source& kernel, const Machine& measured,
                 Session& session) {
  const auto chosen = methods(job.methods);
  const auto sizes = sizes_of("--n", job.n, 1e12);
  const double baseline = session.plan().peak();
  std::vector<Ranks> all;
  for (const Index P : sizes_of(
           "--ranks", job.ranks.empty() ? std::to_string(session.comm().size()) : job.ranks, 1e6))
    all.push_back(ranks_of(job, P, measured, session));
  print_header(job, all, baseline, session);
  session.say("{:>9} {:>8} {:<9} {:<11} {:>10} {:>12} {:>12} {:<4}  {}", "n", "ranks", "method",
              "store", "time", "memory/rank", "sent/rank", "fits", "stages");
  auto rows = Json::array(), targets = Json::array();
  for (const auto& ranks : all) targets.push_back(json(ranks.target, ranks.there));
  for (const Index n : sizes)
    for (const auto& ranks : all) {
      const auto shape = ranks.target.shape;
      const Case c{job,
                   ranks.there.machine,
                   {.n = n,
                    .d = job.d,
                    .c = job.outputs,
                    .m = job.predict,
                    .shape = shape,
                    .nb = spectral::recommended_block(n, shape),
                    .single = job.common.single_precision,
                    .kernel = &kernel.kernel()},
                   baseline,
                   ranks.limit};
      for (const Method& method : chosen) {
        const Forecast f = attempt(c, method);
        print(c, method, f, session);
        rows.push_back(row(c, method, f));
      }
    }
  session.record().result["rows"] = rows;
  session.record().result["planned_for"] = targets;
  session.record().result["machine"] = measured.json();
  return session.finish();
}

}  // namespace

int bench_plan(int argc, char** argv, const comm::Communicator& comm) {
  PlanJob job;
  CommandLine line("mercer-bench", "plan [options]",
                   "How far does it go: time and memory a rank of every method, for any n and any "
                   "number\nof ranks, from this machine's measured rates (or those of --machine).");
  line.add_common(job.common, Planning::many);
  line.add_kernel();
  add_options(line, job);
  if (!line.parse(argc, argv, comm)) return 0;
  check(job);
  if (!line.given("arch") && !line.given("depth") && !line.empirical_kernel())
    line.adopt("depth=3", {"depth"}, "mercer-bench");
  const auto kernel = line.kernel_source(comm);
  if (kernel.is_stored()) throw InputError("--kernel {}: plan takes a function", kernel.text());
  job.common.dry_run = true;
  auto own = job.common;
  own.target = {};  // what is measured is this machine
  Session session(line, own, comm);
  session.begin(0, job.d, 0, kernel.text(), 0);
  return forecast_all(job, kernel, session.machine(kernel, job.d), session);
}

}  // namespace mercer::drivers
