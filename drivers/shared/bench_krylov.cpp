#include <algorithm>
#include <cmath>
#include <map>

#include "mercer/gram/kernel_operator.hpp"
#include "mercer/spectral/krylov.hpp"
#include "shared/bench.hpp"

namespace mercer::drivers {
namespace {

using Row = nlohmann::ordered_json;
using spectral::Method;

struct KrylovJob {
  CommonOptions common;
  data::Options preparation;
  std::string data = "sphere:d=16", second, sizes, fractions, against, storage;
  double tolerance = 1e-8;
  Index block = 0, basis = 0;
  int repeat = 3;
};

void add_options(CommandLine& line, KrylovJob& job) {
  namespace po = boost::program_options;
  line.add_common(job.common, Planning::here);
  line.add_data(job.preparation, job.data, job.second, false);
  line.add_kernel();
  auto add = line.group("Benchmarks").add_options();
  add("sizes", po::value(&job.sizes)->default_value("4000,8000"),
      "n: the first rows of the set, or the size of a synthetic one");
  add("fractions", po::value(&job.fractions)->default_value("0.02,0.05"), "k/n");
  add("tol", po::value(&job.tolerance)->default_value(1e-8), "residual over lambda_1");
  add("against", po::value(&job.against)->default_value("elpa1,elpa2,scalapack"),
      "direct solvers to run beside it; none");
  add("storage", po::value(&job.storage)->default_value("double"), "of the operator");
  add("block", po::value(&job.block)->default_value(0), "vectors of a product; 0: chosen");
  add("basis", po::value(&job.basis)->default_value(0), "columns before a restart; 0: chosen");
  add("repeat", po::value(&job.repeat)->default_value(3), "runs; medians are printed");
}

std::vector<Method> direct_solvers(const std::string& text) {
  std::vector<Method> methods;
  for (std::size_t begin = 0; text != "none" && begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    methods.push_back(spectral::parse_method(text.substr(begin, end - begin)));
    if (methods.back() == Method::krylov)
      throw InputError("--against krylov: give direct solvers, or none");
    begin = end + 1;
  }
  return methods;
}

/// The first n rows of a set that is read, or n rows of a synthetic one.
dist::RowBlock<double> points(const KrylovJob& job, Index n, const comm::Communicator& comm) {
  const auto colon = job.data.find(':');
  const std::string kind = job.data.substr(0, colon);
  auto preparation = job.preparation;
  preparation.seed = job.common.seed;
  std::string spec = job.data;
  if (kind == "sphere" || kind == "gaussian" || kind == "circle")
    spec = fmt::format("{}:n={}{}{}", kind, n, colon == std::string::npos ? "" : ",",
                       colon == std::string::npos ? "" : job.data.substr(colon + 1));
  else
    preparation.limit = n;
  return data::load_inputs(spec, preparation, comm).inputs;
}

/// What one solver took, in the runs so far.
struct Taken {
  std::vector<double> seconds;
  double residual = 0;
};

class Comparison {
 public:
  Comparison(const KrylovJob& job, const gram::Source& kernel, Session& session)
      : job_(job), kernel_(kernel), session_(session), against_(direct_solvers(job.against)) {
    session_.say("{:>7} {:>6}  {:<10} {:>9} {:>9} {:>10} {:>9} {:>9} {:>6}", "n", "k", "method",
                 "seconds", "/ krylov", "residual", "products", "restarts", "block");
  }

  void add(Index n, Index k) {
    const auto X = points(job_, n, session_.comm());
    Taken iterative;
    std::map<Method, Taken> direct;
    spectral::TopPairs last;
    for (int r = 0; r < job_.repeat; ++r) {
      last = run_krylov(X, k, iterative);
      for (const Method method : against_) run_direct(X, k, method, direct[method]);
    }
    report(n, k, last, iterative, direct);
  }
  const Row& rows() const { return rows_; }

 private:
  spectral::TopPairs run_krylov(const dist::RowBlock<double>& X, Index k, Taken& taken) {
    gram::OperatorOptions store;
    store.storage = gram::parse_storage(job_.storage);
    store.memory_bytes = job_.common.memory_limit > 0 ? job_.common.memory_limit
                                                      : memory_per_rank(session_.comm()).bytes;
    const gram::KernelOperator K(kernel_.kernel(), X, session_.grid(), store);
    spectral::TopPairs pairs;
    taken.seconds.push_back(seconds(session_.comm(), [&] {
      pairs = spectral::krylov(K, {.top = k,
                                   .tolerance = job_.tolerance,
                                   .block = job_.block,
                                   .basis = job_.basis,
                                   .seed = job_.common.seed});
    }));
    spectral::measure_residuals(K, pairs);
    taken.residual = *std::ranges::max_element(pairs.residuals);
    return pairs;
  }

  void run_direct(const dist::RowBlock<double>& X, Index k, Method method, Taken& taken) {
    const auto& grid = session_.grid();
    const Index nb =
        job_.common.nb > 0 ? job_.common.nb : spectral::recommended_block(X.rows(), grid.shape());
    auto K = gram::assemble<double>(kernel_.kernel(), X, grid, {.nb = nb});
    taken.seconds.push_back(seconds(session_.comm(), [&] {
      const auto pairs = spectral::eigenpairs(std::move(K), {.top = k, .method = method});
      taken.residual = *std::ranges::max_element(pairs.residuals);
    }));
  }

  void report(Index n, Index k, const spectral::TopPairs& pairs, const Taken& iterative,
              const std::map<Method, Taken>& direct) {
    const double t = median(iterative.seconds);
    session_.say("{:>7} {:>6}  {:<10} {:>9.3f} {:>9} {:>10.1e} {:>9} {:>9} {:>6}", n, k, "krylov",
                 t, "", iterative.residual, pairs.products, pairs.restarts, pairs.block);
    Row row{{"n", n},
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
      session_.say("{:>7} {:>6}  {:<10} {:>9.3f} {:>9.2f} {:>10.1e}", n, k, spectral::name(method),
                   s, s / t, taken.residual);
      row["seconds_" + spectral::name(method)] = s;
    }
    if (!direct.empty()) {
      session_.say("{:>7} {:>6}  the fastest direct solver takes {:.2f} times as long", n, k,
                   best / t);
      row["factor"] = best / t;
    }
    rows_.push_back(std::move(row));
  }

  const KrylovJob& job_;
  const gram::Source& kernel_;
  Session& session_;
  std::vector<Method> against_;
  Row rows_ = Row::array();
};

}  // namespace

int bench_krylov(int argc, char** argv, const comm::Communicator& comm) {
  KrylovJob job;
  CommandLine line("mercer-bench", "krylov [options]",
                   "The top k eigenpairs by block Krylov beside the direct solvers.");
  add_options(line, job);
  if (!line.parse(argc, argv, comm)) return 0;
  if (!job.second.empty()) throw InputError("--data2: mercer-bench krylov takes one set");
  if (job.repeat < 1) throw InputError("--repeat {}: give at least 1", job.repeat);
  // As that of the assembly: three hidden layers, unless something else is asked for.
  if (!line.given("arch") && !line.given("depth") && !line.empirical_kernel())
    line.adopt("depth=3", {"depth"}, "mercer-bench");
  const auto kernel = line.kernel_source(comm);
  if (kernel.is_stored()) throw InputError("--kernel {}: krylov takes a function", kernel.text());
  Session session(line, job.common, comm);
  session.begin(0, 0, job.common.nb, kernel.text(), 0);
  if (session.stop_at_plan(session.plan())) return 0;
  Comparison comparison(job, kernel, session);
  for (const double n : parse_numbers("--sizes", job.sizes))
    for (const double fraction : parse_numbers("--fractions", job.fractions))
      comparison.add(static_cast<Index>(n),
                     std::clamp<Index>(std::lround(n * fraction), 1, static_cast<Index>(n)));
  session.record().result["rows"] = comparison.rows();
  return session.finish();
}

}  // namespace mercer::drivers
