#include <algorithm>
#include <cmath>

#include "mercer/gram/kernel_operator.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "shared/bench.hpp"

namespace mercer::drivers {
namespace {

using Row = nlohmann::ordered_json;

struct CgJob {
  CommonOptions common;
  data::Options preparation;
  std::string data = "sphere:n=4000,d=10,degree=2", second, ranks = "600";
  Index n = 0, top = 0, outputs = 0;
  double ridge = 1e-3, tolerance = 1e-6;
  Index iterations = 5000;
};

void add_options(CommandLine& line, CgJob& job) {
  namespace po = boost::program_options;
  line.add_common(job.common, Planning::here);
  line.add_data(job.preparation, job.data, job.second, false);
  line.add_kernel();
  line.group("Benchmarks")
      .add_options()("n", po::value(&job.n)->default_value(0),
                     "at most the first n rows; 0: all (as --limit)")(
          "ridge-relative", po::value(&job.ridge)->default_value(1e-3), "ridge over trace(K)/n")(
          "rank", po::value(&job.ranks)->default_value("600"),
          "ranks of pivoted Cholesky preconditioners, a list; 0: none")(
          "top", po::value(&job.top)->default_value(0), "eigenpairs as preconditioner; 0: not")(
          "outputs", po::value(&job.outputs)->default_value(0),
          "at most the first outputs, all of which are solved for together; 0: all")(
          "tol", po::value(&job.tolerance)->default_value(1e-6), "relative residual to reach")(
          "iterations", po::value(&job.iterations)->default_value(5000), "at most");
}

void check(const CgJob& job) {
  if (!(job.ridge >= 0) || !std::isfinite(job.ridge))
    throw InputError("--ridge-relative {}: give a number that is not negative", job.ridge);
  if (!(job.tolerance > 0)) throw InputError("--tol {}: give a positive number", job.tolerance);
  if (job.n < 0 || job.top < 0 || job.outputs < 0 || job.iterations < 1)
    throw InputError("--n {}, --top {}, --outputs {}, --iterations {}: too small", job.n, job.top,
                     job.outputs, job.iterations);
  if (!job.second.empty()) throw InputError("--data2: mercer-bench cg takes one set");
}

class Comparison {
 public:
  Comparison(const CgJob& job, const gram::Operator& K, const dist::RowBlock<double>& Y,
             Index outputs, double mean_diagonal, Session& session)
      : job_(job),
        K_(K),
        Y_(krr::to_columns(Y)),
        B_(Y_.view().block(0, 0, Y_.rows(), outputs)),
        ridge_(job.ridge * mean_diagonal),
        session_(session) {
    session_.say("{:<24} {:>10} {:>10} {:>12} {:>12} {:>14} {:>10}", "preconditioner", "captured",
                 "set-up s", "iterations", "solve s", "of the plain", "residual");
  }

  /// One row: the preconditioner is made and used.
  template <class Make>
  void add(Make&& make) {
    krr::LowRankPreconditioner M;
    const double setup = seconds(session_.comm(), [&] { M = make(); });
    krr::CgResult result;
    const double solve = seconds(session_.comm(), [&] {
      result = krr::conjugate_gradients(
          K_, ridge_, M, B_, {.tolerance = job_.tolerance, .max_iterations = job_.iterations});
    });
    if (rows_.empty()) plain_ = result.iterations;
    const double share = static_cast<double>(result.iterations) / static_cast<double>(plain_);
    const double residual = *std::ranges::max_element(result.residuals);
    session_.say("{:<24} {:>9.4f}  {:>10.2f} {:>12} {:>12.2f} {:>14.3f} {:>10.1e}", M.text(),
                 M.captured(), setup, result.iterations, solve, share, residual);
    if (!result.converged) session_.say("  {}", result.stagnation);
    rows_.push_back(Row{{"n", K_.size()},
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
  const Row& rows() const { return rows_; }

 private:
  const CgJob& job_;
  const gram::Operator& K_;
  Matrix<double> Y_;
  MatrixView<const double> B_;
  double ridge_;
  Session& session_;
  Row rows_ = Row::array();
  Index plain_ = 1;
};

}  // namespace

int bench_cg(int argc, char** argv, const comm::Communicator& comm) {
  CgJob job;
  CommandLine line("mercer-bench", "cg [options]",
                   "Iterations of block conjugate gradients for (K + gamma I) A = Y: plain, and "
                   "preconditioned.");
  add_options(line, job);
  if (!line.parse(argc, argv, comm)) return 0;
  check(job);
  const auto kernel = line.kernel_source(comm);
  if (kernel.is_stored()) throw InputError("--kernel {}: cg takes a function", kernel.text());
  if (job.n > 0) job.preparation.limit = job.n;
  job.preparation.seed = job.common.seed;
  const auto ranks = parse_numbers("--rank", job.ranks);
  for (const double r : ranks)
    if (!(r >= 0 && r < 1e9)) throw InputError("--rank {}: give ranks from 0 on", job.ranks);
  Session session(line, job.common, comm);
  const auto set = data::load(job.data, "", job.preparation, comm).train;
  const Index n = set.rows(),
              c = job.outputs > 0 ? std::min(job.outputs, set.outputs()) : set.outputs();
  session.begin(n, set.dimension(), 0, kernel.text(), set.hash);

  gram::OperatorOptions options;
  options.memory_bytes =
      0.5 * (job.common.memory_limit > 0 ? job.common.memory_limit : memory_per_rank(comm).bytes);
  options.block = c;
  if (job.common.single_precision) options.storage = gram::Storage::in_single;
  const auto stored = gram::plan_operator(kernel.kernel(), n, set.dimension(), c,
                                          session.grid().shape(), options, comm.size());
  const double rank = std::max(*std::ranges::max_element(ranks), static_cast<double>(job.top));
  auto plan = session.plan();
  plan.stage("cg",
             stored.bytes() +
                 8 * static_cast<double>(ceil_div(n, comm.size())) *
                     (2 * rank + 8 * static_cast<double>(c)) +
                 24 * rank * rank,
             2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(c),
             "one iteration");
  if (session.stop_at_plan(plan)) return 0;

  const gram::KernelOperator K(kernel.kernel(), set.inputs, session.grid(), options);
  session.say("{}\n{} outputs, relative ridge {:.3g}, to {:.1e}\n", K.text(), c, job.ridge,
              job.tolerance);
  std::vector<double> diagonal(static_cast<std::size_t>(K.local_rows()));
  K.diagonal(diagonal);
  double sum = 0;
  for (const double x : diagonal) sum += x;
  sum = comm.all_reduce(sum, comm::Op::sum);

  Comparison comparison(job, K, set.targets, c, sum / static_cast<double>(n), session);
  comparison.add([] { return krr::LowRankPreconditioner(); });
  for (const double r : ranks)
    if (r > 0)
      comparison.add([&] {
        return krr::LowRankPreconditioner::pivoted_cholesky(K, static_cast<Index>(r),
                                                            job.common.seed);
      });
  if (job.top > 0)
    comparison.add([&] {
      return krr::LowRankPreconditioner::from_pairs(spectral::krylov(
          K, {.top = std::min(job.top, n), .tolerance = 1e-6, .seed = job.common.seed}));
    });
  session.record().result["rows"] = comparison.rows();
  return session.finish();
}

}  // namespace mercer::drivers
