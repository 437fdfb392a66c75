// Times Mercer's stages on this machine side by side with what they are built on (src/bench): gram
// (assembly of K, p?syrk, dgemm), eig (every direct eigensolver and the one chosen), train (a step
// of gradient descent, sgemm), operator (products of K with a block of vectors, dgemm), images
// (kernels of images, the element pass of dense ones), krylov (top pairs, direct solvers), cg
// (preconditioners), plan (time and memory of every method, for any n and any number of ranks).

#include <algorithm>
#include <cmath>

#include "bench/bench.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/text.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {
namespace {

namespace po = boost::program_options;

constexpr double kMostRows = 1e9;
constexpr Index kDepth = 3;  // hidden layers of the kernels that are timed

/// The command line of a benchmark: options that all of them have, and a group of its own.
struct BenchLine {
  CommonOptions common;
  int repeat = 5;
  CommandLine line;
  po::options_description* group = nullptr;  ///< the benchmark's own options

  BenchLine(const std::string& usage, const std::string& purpose,
            Planning planning = Planning::here)
      : line("mercer-bench", usage, purpose) {
    line.add_common(common, planning);
  }
  po::options_description_easy_init add() {
    if (group == nullptr) group = &line.group("Benchmarks");
    return group->add_options();
  }
  void add_repeat(int by_default) {
    add()("repeat", po::value(&repeat)->default_value(by_default),
          "runs of each; medians are printed");
  }
  /// The kernel function that the options ask for. Throws InputError for a matrix from a file.
  gram::Source kernel(const std::string& job, const comm::Communicator& comm) const {
    if (repeat < 1) throw InputError("--repeat {}: give at least 1", repeat);
    auto source = line.kernel_source(comm);
    if (source.is_stored())
      throw InputError("--kernel {}: {} takes a function", source.text(), job);
    return source;
  }
  bench::Bench on(Session& session) const {
    return {.grid = session.grid(),
            .print = [&session](const std::string& text) { session.say("{}", text); },
            .seed = common.seed,
            .nb = common.nb,
            .repeat = repeat,
            .memory_limit = common.memory_limit > 0 ? common.memory_limit
                                                    : plan::memory_per_rank(session.comm()).bytes};
  }
};

template <class Number>
void at_least(const char* option, Number value, double least) {
  if (!(static_cast<double>(value) >= least))
    throw InputError("{} {}: give at least {}", option, value, least);
}

/// Whether the run ends at the plan, of one part.
bool stops(Session& session, const char* name, const char* method, double bytes, double flops) {
  auto plan = session.plan();
  plan.stage({.name = name, .method = method, .bytes = bytes, .flops = flops});
  return session.stop_at_plan(plan);
}

int finish(Session& session, bench::Json rows) {
  session.record().result["rows"] = std::move(rows);
  return session.finish();
}

int gram(int argc, char** argv, const comm::Communicator& comm) {
  Index n = 8192, d = 784;
  BenchLine job("gram [options]", "Assembly of K beside p?syrk and dgemm.");
  job.line.add_kernel(kDepth, true);
  job.add()("n", po::value(&n)->default_value(n), "points")("d", po::value(&d)->default_value(d),
                                                            "their dimension");
  job.add_repeat(5);
  if (!job.line.parse(argc, argv, comm)) return 0;
  at_least("--n", n, 1), at_least("--d", d, 1);
  const auto kernel = job.kernel("gram", comm);
  Session session(job.line, job.common, comm);
  const Index nb = session.block_of(n);
  session.begin(n, d, nb, kernel.text(), 0);
  Plan plan = session.plan();
  plan.stage(plan::assemble(session.machine(kernel, d), {.n = n,
                                                         .d = d,
                                                         .shape = session.grid().shape(),
                                                         .nb = nb,
                                                         .kernel = gram::kernel_of(kernel)}));
  if (session.stop_at_plan(plan)) return 0;
  return finish(session, bench::assembly(job.on(session), kernel.kernel(), n, d));
}

int eig(int argc, char** argv, const comm::Communicator& comm) {
  std::string sizes = "2000,5000", fractions = "1,0.25,0.0333333";
  BenchLine job("eig [options]", "Every direct eigensolver beside the one that Mercer chooses.");
  job.line.add_kernel(kDepth, true);
  job.add()("sizes", po::value(&sizes)->default_value(sizes), "values of n")(
      "fractions", po::value(&fractions)->default_value(fractions), "values of k/n");
  job.add_repeat(5);
  if (!job.line.parse(argc, argv, comm)) return 0;
  const auto n = parse_whole_numbers("--sizes", sizes, 1, kMostRows);
  const auto shares = parse_shares("--fractions", fractions);
  const auto kernel = job.kernel("eig", comm);
  Session session(job.line, job.common, comm);
  session.begin(0, 16, job.common.nb, kernel.text(), 0);
  if (session.stop_at_plan(session.plan())) return 0;
  return finish(session, bench::eigensolvers(job.on(session), kernel.kernel(), n, shares));
}

std::vector<spectral::Method> direct_solvers(const std::string& text) {
  std::vector<spectral::Method> methods;
  if (text == "none") return methods;
  for (const auto& word : words(text)) {
    methods.push_back(of_option("--against", [&] { return spectral::parse_method(word); }));
    if (methods.back() == spectral::Method::krylov)
      throw InputError("--against krylov: give direct solvers, or none");
  }
  return methods;
}

int krylov(int argc, char** argv, const comm::Communicator& comm) {
  bench::KrylovBench options{.data = "sphere:d=16"};
  std::string sizes = "4000,8000", fractions = "0.02,0.05", against = "elpa1,elpa2,scalapack",
              storage = "double";
  BenchLine job("krylov [options]",
                "The top k eigenpairs by block Krylov beside the direct solvers.");
  job.line.add_data(options.preparation, options.data);
  job.line.add_kernel(kDepth, true);
  job.add()("sizes", po::value(&sizes)->default_value(sizes),
            "values of n: the first n rows of the set, or a synthetic set of n rows")(
      "fractions", po::value(&fractions)->default_value(fractions), "values of k/n")(
      "tol", po::value(&options.tolerance)->default_value(1e-8), "residual over lambda_1")(
      "against", po::value(&against)->default_value(against),
      "direct solvers to run beside it, or none")(
      "storage", po::value(&storage)->default_value(storage), "what block Krylov keeps of K")(
      "block", po::value(&options.block)->default_value(0), "vectors in a block; 0: chosen")(
      "basis", po::value(&options.basis)->default_value(0), "columns before a restart; 0: chosen");
  job.add_repeat(3);
  if (!job.line.parse(argc, argv, comm)) return 0;
  const auto n = parse_whole_numbers("--sizes", sizes, 1, kMostRows);
  const auto shares = parse_shares("--fractions", fractions);
  options.against = direct_solvers(against);
  options.storage = gram::parse_storage(storage);
  options.preparation.seed = job.common.seed;
  const auto kernel = job.kernel("krylov", comm);
  Session session(job.line, job.common, comm);
  session.begin(0, 0, job.common.nb, kernel.text(), 0);
  if (session.stop_at_plan(session.plan())) return 0;
  return finish(session, bench::krylov(job.on(session), options, kernel.kernel(), n, shares));
}

int products(int argc, char** argv, const comm::Communicator& comm) {
  bench::ProductBench options;
  BenchLine job("operator [options]",
                "Products of K with a block of vectors, for every way of keeping K, beside dgemm.");
  job.line.add_kernel(kDepth, true);
  job.add()("n", po::value(&options.n)->default_value(8192), "points")(
      "d", po::value(&options.d)->default_value(784), "their dimension")(
      "block", po::value(&options.block)->default_value(64), "vectors in a block");
  job.add_repeat(5);
  if (!job.line.parse(argc, argv, comm)) return 0;
  at_least("--n", options.n, 1), at_least("--d", options.d, 1);
  at_least("--block", options.block, 1);
  const auto kernel = job.kernel("operator", comm);
  Session session(job.line, job.common, comm);
  session.begin(options.n, options.d, 0, kernel.text(), 0);
  const auto on = job.on(session);
  const double n = static_cast<double>(options.n);
  if (stops(session, "operators", "one product", bench::bytes(on, options, kernel.kernel()),
            2 * n * n * static_cast<double>(options.block)))
    return 0;
  session.record().result.update(bench::products(on, options, kernel.kernel()));
  return session.finish();
}

int cg(int argc, char** argv, const comm::Communicator& comm) {
  bench::CgBench options;
  data::Options preparation;
  std::string data = "sphere:n=4000,d=10,degree=2", ranks = "600";
  Index n = 0;
  BenchLine job("cg [options]",
                "Iterations of block conjugate gradients for (K + gamma I) A = Y: plain, and "
                "preconditioned.");
  job.line.add_data(preparation, data);
  job.line.add_kernel(1, true);
  job.add()("n", po::value(&n)->default_value(0), "the first n rows only; 0: all (as --limit)")(
      "ridge-relative", po::value(&options.ridge)->default_value(1e-3), "ridge over trace(K)/n")(
      "rank", po::value(&ranks)->default_value(ranks),
      "ranks of pivoted Cholesky preconditioners, a list; 0: no preconditioner")(
      "top", po::value(&options.top)->default_value(0),
      "also with so many eigenpairs as preconditioner; 0: without")(
      "outputs", po::value(&options.outputs)->default_value(0),
      "solve for at most so many outputs, the first ones, in one block; 0: all")(
      "tol", po::value(&options.tolerance)->default_value(1e-6), "relative residual to reach")(
      "iterations", po::value(&options.iterations)->default_value(5000), "at most so many");
  if (!job.line.parse(argc, argv, comm)) return 0;
  if (!std::isfinite(options.ridge))
    throw InputError("--ridge-relative {}: give a number", options.ridge);
  if (!(options.tolerance > 0))
    throw InputError("--tol {}: give a positive number", options.tolerance);
  at_least("--ridge-relative", options.ridge, 0), at_least("--n", n, 0);
  at_least("--top", options.top, 0), at_least("--outputs", options.outputs, 0);
  at_least("--iterations", options.iterations, 1);
  for (const Index rank : parse_whole_numbers("--rank", ranks, 0, 1e9))
    options.ranks.push_back(static_cast<double>(rank));
  options.single = job.common.single_precision;
  const auto kernel = job.kernel("cg", comm);
  if (n > 0) preparation.limit = n;
  preparation.seed = job.common.seed;
  Session session(job.line, job.common, comm);
  const auto set = data::load(data, "", preparation, comm).train;
  session.begin(set.rows(), set.dimension(), 0, kernel.text(), set.hash);
  const auto on = job.on(session);
  const double rows = static_cast<double>(set.rows());
  if (stops(session, "cg", "one iteration", bench::bytes(on, options, kernel.kernel(), set),
            2 * rows * rows * static_cast<double>(bench::outputs(options, set))))
    return 0;
  return finish(session, bench::conjugate_gradients(on, options, kernel.kernel(), set));
}

int train(int argc, char** argv, const comm::Communicator& comm) {
  bench::TrainBench options;
  BenchLine job("train [options]", "A step of gradient descent, with S and without, beside sgemm.");
  job.line.add_kernel(kDepth, true);
  Index n = 0;
  job.add()("n", po::value(&n)->default_value(n), "rows; 0: as many as suit each network")(
      "d", po::value(&options.d)->default_value(options.d), "their dimension")(
      "top", po::value(&options.top)->default_value(options.top), "modes of S on residuals")(
      "batch", po::value(&options.batch)->default_value(options.batch),
      "rows of a step with S on the parameters")(
      "top-parameters", po::value(&options.top_parameters)->default_value(options.top_parameters),
      "modes of that S");
  job.add_repeat(5);
  if (!job.line.parse(argc, argv, comm)) return 0;
  at_least("--n", n, 0), at_least("--d", options.d, 1), at_least("--top", options.top, 1);
  at_least("--batch", options.batch, 1), at_least("--top-parameters", options.top_parameters, 1);
  at_least("--repeat", job.repeat, 1);
  options.single = job.common.single_precision || !job.line.given("precision");
  job.common.single_precision = options.single;
  if (job.line.given("arch"))
    options.networks = {
        {job.line.architecture().text(), options.networks[0].n, job.line.image_of_rows(comm)}};
  for (auto& network : options.networks)
    if (n > 0) network.n = n;
  Session session(job.line, job.common, comm);
  session.begin(options.networks[0].n, options.d, 0, "none", 0);
  const auto on = job.on(session);
  if (stops(session, "train", "one step", bench::bytes(on, options), bench::flops(options)))
    return 0;
  return finish(session, bench::training(on, options));
}

int images(int argc, char** argv, const comm::Communicator& comm) {
  BenchLine job("images [options]", "Kernels of images beside the element pass of dense ones.");
  job.add_repeat(5);
  if (!job.line.parse(argc, argv, comm)) return 0;
  at_least("--repeat", job.repeat, 1);
  Session session(job.line, job.common, comm);
  session.begin(0, 0, 0, "none", 0);
  if (session.stop_at_plan(session.plan())) return 0;
  return finish(session, bench::images(job.on(session)));
}

/// The options of `mercer-bench plan`, as typed.
struct ForecastLine {
  BenchLine job{"plan [options]",
                "Time and memory a rank of every method, for any n and any number of ranks, "
                "from\nthis machine's measured rates (or those of --machine).",
                Planning::many};
  bench::ForecastBench options;
  std::string n = "60000,1000000", ranks, methods = "all", storage = "auto";

  void add();
  void check();
  bench::ForecastRanks ranks_of(Index ranks, const Machine& measured, Session& session) const;
  void print_header(const std::vector<bench::ForecastRanks>& all, const Session& session) const;
};

void ForecastLine::add() {
  auto& o = options;
  job.line.add_kernel(kDepth, true);
  auto add = job.line.group("Plan").add_options();
  add("n", po::value(&n)->value_name("N,...")->default_value(n), "rows");
  add("d", po::value(&o.d)->value_name("D")->default_value(784), "inputs of a row");
  add("outputs", po::value(&o.outputs)->value_name("C")->default_value(10), "outputs of a row");
  add("predict", po::value(&o.predict)->value_name("M")->default_value(10000),
      "rows to predict after a fit");
  add("k", po::value(&o.k)->value_name("K")->default_value(200),
      "eigenpairs, of eig-top and krylov");
  add("ranks", po::value(&ranks)->value_name("P,..."), "numbers of ranks (default: this run's)");
  add("method", po::value(&methods)->value_name("NAME,...")->default_value(methods),
      "eig (all pairs), eig-top (k of them, direct), krylov (k, iterative), cholesky (ridge "
      "regression), cg (the same, iterative), product (K times --columns vectors), all");
  add("storage", po::value(&storage)->value_name("NAME")->default_value(storage),
      "what krylov, cg and product keep of K: auto (by --memory-limit), double, single, mixed, "
      "none");
  add("iterations", po::value(&o.iterations)->value_name("N")->default_value(100.0, "100"),
      "iterations of cg");
  add("rank", po::value(&o.rank)->value_name("R")->default_value(600),
      "rank of cg's preconditioner; 0: none");
  add("columns", po::value(&o.columns)->value_name("B")->default_value(64),
      "vectors in the block of product");
}

void ForecastLine::check() {
  auto& o = options;
  at_least("--d", o.d, 1), at_least("--k", o.k, 1), at_least("--outputs", o.outputs, 1);
  at_least("--predict", o.predict, 0), at_least("--rank", o.rank, 0);
  at_least("--columns", o.columns, 1), at_least("--iterations", o.iterations, 0);
  o.n = parse_whole_numbers("--n", n, 1, 1e12);
  o.methods = words(methods);
  bench::check_methods(o.methods);
  o.storage = gram::parse_storage(storage);
  o.single = job.common.single_precision;
}

/// `ranks` ranks, --ranks-per-node of them on a node or as many as this machine has cores, and what
/// each may hold.
bench::ForecastRanks ForecastLine::ranks_of(Index ranks, const Machine& measured,
                                            Session& session) const {
  const auto& comm = session.comm();
  TargetOptions target = job.common.target;
  if (ranks != comm.size() || target.ranks_per_node > 0) target.ranks = ranks;
  bench::ForecastRanks result{.target = plan::target_of(target, "", job.common.threads, comm),
                              .there = {},
                              .limit = job.common.memory_limit};
  result.there = plan::machine_of(measured, result.target, target);
  for (auto& line : result.there.assumptions) line = with_options(line);
  if (result.limit <= 0)
    result.limit = plan::memory_per_rank(comm, result.target.ranks_per_node).bytes;
  return result;
}

void ForecastLine::print_header(const std::vector<bench::ForecastRanks>& all,
                                const Session& session) const {
  const auto& o = options;
  session.say(
      "memory  {} a rank ({}), of it {} before the start", bench::limits_text(all),
      job.common.memory_limit > 0 ? "--memory-limit" : "this machine's, over a node's ranks",
      format_bytes(o.baseline));
  for (const auto& ranks : all) {
    session.say("ranks   {}", text(ranks.target));
    for (const auto& line : ranks.there.assumptions) session.say("assumed {}", line);
  }
  session.say("d = {}, k = {}, {}, {} predicted; cg: {} iterations, rank {}\n", o.d, o.k,
              counted(o.outputs, "output"), counted(o.predict, "row"), o.iterations, o.rank);
}

int forecast(int argc, char** argv, const comm::Communicator& comm) {
  ForecastLine forecast;
  auto& [job, options, n, ranks, methods, storage] = forecast;
  forecast.add();
  if (!job.line.parse(argc, argv, comm)) return 0;
  forecast.check();
  const auto kernel = job.kernel("plan", comm);
  job.common.dry_run = true;
  auto own = job.common;
  own.target = {};  // the session measures this machine
  Session session(job.line, own, comm);
  session.begin(0, options.d, 0, kernel.text(), 0);
  const auto measured = session.machine(kernel, options.d);
  options.baseline = session.plan().peak();
  std::vector<bench::ForecastRanks> all;
  for (const Index P :
       parse_whole_numbers("--ranks", ranks.empty() ? std::to_string(comm.size()) : ranks, 1, 1e6))
    all.push_back(forecast.ranks_of(P, measured, session));
  forecast.print_header(all, session);
  auto targets = bench::Json::array();
  for (const auto& one : all) targets.push_back(json(one.target, one.there));
  auto rows = bench::forecasts(job.on(session), options, kernel.kernel(), all);
  for (auto& row : rows)
    if (row.contains("refused")) row["refused"] = with_options(row["refused"].get<std::string>());
  session.record().result["planned_for"] = targets;
  session.record().result["machine"] = measured.json();
  return finish(session, std::move(rows));
}

struct Benchmark {
  const char* name;
  int (*run)(int argc, char** argv, const comm::Communicator& comm);
};
constexpr Benchmark kBenchmarks[] = {
    {"gram", gram},         {"eig", eig},       {"train", train},   {"plan", forecast},
    {"operator", products}, {"images", images}, {"krylov", krylov}, {"cg", cg}};

}  // namespace
}  // namespace mercer::drivers

int main(int argc, char** argv) {
  using namespace mercer::drivers;
  return run(argc, argv, "mercer-bench", [&](const mercer::comm::Communicator& comm) {
    const std::string name = argc > 1 ? argv[1] : "";
    for (const auto& benchmark : kBenchmarks)
      if (name == benchmark.name) return benchmark.run(argc - 1, argv + 1, comm);
    CommandLine line("mercer-bench", "gram|eig|train|plan|operator|images|krylov|cg [options]",
                     "Times Mercer's stages beside what they are built on; each has a --help.");
    CommonOptions common;
    line.add_common(common, Planning::here);
    const bool asks = name == "--help" || name == "-h" || name == "--version";
    if (asks && !line.parse(argc, argv, comm)) return 0;
    throw mercer::InputError(
        "{}give gram, eig, train, plan, operator, images, krylov or cg first, then the options",
        name.empty() || name.starts_with("-") ? "" : name + ": ");
  });
}
