#include "shared/spectrum_options.hpp"

#include <cmath>

#include "mercer/base/text.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

void CheckpointLine::add(po::options_description& group, jobs::CheckpointOptions& options,
                         bool assembly) {
  options_ = &options;
  assembly_ = assembly;
  const std::string state = assembly ? "finished entries" : "state of the iterative solver";
  auto add = group.add_options();
  add("checkpoint", po::value(&options.path)->value_name("FILE"),
      (state +
       ", written every --checkpoint-every and at a signal (SIGUSR1, SIGUSR2, SIGTERM, "
       "SIGINT, SIGHUP, SIGXCPU), which ends the run. mpirun passes SIGUSR1 and SIGUSR2 on "
       "and waits; after SIGTERM or SIGINT it kills its ranks within a second, too soon for "
       "a large checkpoint")
          .c_str());
  add("checkpoint-every",
      po::value(&every_)->value_name(assembly ? "SECONDS" : "SECONDS|Np")->default_value(every_),
      assembly ? "seconds between checkpoints"
               : "seconds between checkpoints, or 5p: every 5 products of K with a block");
  add("resume", po::bool_switch(&options.resume), "go on from --checkpoint FILE");
}

void CheckpointLine::read(const CommandLine& line) {
  if (!options_->asked()) {
    for (const char* option : {"resume", "checkpoint-every"})
      if (line.given(option)) throw InputError("--{}: needs --checkpoint FILE", option);
    return;
  }
  const bool by_products = every_.ends_with('p');
  const double every = parse_number("--checkpoint-every",
                                    by_products ? every_.substr(0, every_.size() - 1) : every_);
  if (!(every > 0 && every < 1e15) || (by_products && every != std::floor(every)))
    throw InputError("--checkpoint-every {}: give seconds, e.g. 600{}", every_,
                     assembly_ ? "" : ", or a whole number of products, e.g. 5p");
  options_->seconds = by_products ? 0 : every;
  options_->products = by_products ? static_cast<Index>(every) : 0;
}

void StorageLine::add(po::options_description& group, gram::Storage& storage) {
  storage_ = &storage;
  group.add_options()(
      "storage",
      po::value(&typed_)->value_name("auto|double|single|none|mixed")->default_value(typed_),
      "what an iterative solver keeps of K. double: one triangle, 4 n^2 bytes over all ranks: "
      "right where it fits. single: half the bytes, with entries of relative error 3e-8. none: "
      "entries are computed again in every product: right where nothing fits. mixed: as many in "
      "single as --memory-limit allows. auto: the first of double, single, mixed that fits");
}

void StorageLine::read() {
  *storage_ = gram::parse_storage(typed_);
}

void SpectrumLine::add(CommandLine& line) {
  auto& group = line.group("Spectrum");
  auto add = group.add_options();
  add("top", po::value(&options.top)->value_name("K")->default_value(-1, "n"),
      "compute the K largest eigenvalues");
  add("values-only", po::bool_switch(&values_only_), "compute no eigenvectors");
  add("solver", po::value(&solver_)->value_name("NAME")->default_value("auto"),
      "elpa1, elpa2, scalapack, lapack: direct, any number of pairs, to rounding. krylov: "
      "iterative, to --tol, from matrix-vector products alone: right for few pairs (up to about "
      "n/10) and where K does not fit. auto: of those that fit, the one that Mercer's model "
      "predicts to be fastest");
  add("tol", po::value(&tolerance_)->value_name("E")->default_value(1e-10, "1e-10"),
      "largest accepted residual |K v - lambda v|/lambda_1; krylov stops there");
  add("estimates", po::value(&estimates_)->value_name("[G]")->implicit_value("1e-3"),
      "estimates from matrix-vector products alone: trace, bound on lambda_min, spectral density, "
      "and at gamma = G trace(K)/n the statistical dimension tr K (K + gamma I)^-1 and the "
      "log-determinant of K + gamma I; stochastic, with their errors: right for the whole spectrum "
      "of a large K");
  add("leverage", po::value(&leverage_)->value_name("G1,G2,..."),
      "at each ridge gamma = G the statistical dimension tr K (K + gamma I)^-1 and the leverage "
      "score of every row, [K (K + gamma I)^-1]_ii: exact from all pairs; from the --top ones "
      "and --probes with their errors: right for large n");
  add("leverage-relative", po::value(&leverage_relative_)->value_name("G1,G2,..."),
      "the same at the ridges G trace(K)/n");
  add("probes", po::value(&options.leverage.probes)->value_name("N")->default_value(32),
      "random vectors for what --leverage takes from beyond the --top pairs: errors fall as "
      "N^-1/2");
  add("eval", po::value(&eval)->value_name("SPEC"),
      "values of the eigenfunctions phi_i(z) = sum_j k(z, x_j) V_ji/(sqrt(n) lambda_i) for new "
      "rows "
      "(prepared as --data), their Gram matrix over these and its error by sampling; --top says "
      "how "
      "many");
  add("diagnostics", po::value(&diagnostics_)->value_name("[E1,E2,...]")->implicit_value("auto"),
      "condition number; effective rank, the number of lambda_i^(1/2) > E lambda_1^(1/2) (default: "
      "E = 0.1, 0.01, ... as far as rounding allows); the law by which eigenvalues decay; steps of "
      "gradient descent to a tenth of the residual; where the rows have targets (prepared by "
      "--one-hot and --standardize), their parts along the eigenvectors");
  add("csv", po::value(&csv)->value_name("FILE.csv"),
      "write i, lambda_i, lambda_i/lambda_1 and the residual as a table");
  storage_.add(group, options.storage);
  add("block", po::value(&options.block)->value_name("B")->default_value(0, "chosen"),
      "krylov: vectors in a block; best above the multiplicity of every eigenvalue");
  add("start", po::value(&options.start)->value_name("S.h5"),
      "krylov: start from the eigenvectors of an earlier result: right for a sequence of similar "
      "kernels of the same rows, and where rows were added behind them");
  checkpoints_.add(group, options.checkpoints);
}

void SpectrumLine::read(const CommandLine& line, const gram::Source& kernel) {
  options.method = spectral::parse_method(solver_);
  storage_.read();
  checkpoints_.read(line);
  if (data.empty())
    for (const char* option : {"target", "split", "header", "index", "limit", "augment", "scale",
                               "standardize", "unit-norm", "one-hot"})
      if (line.given(option))
        throw InputError("--{}: needs --data, the rows of K: without it K is taken as it is",
                         option);
  options.vectors = !values_only_;
  options.single = common.single_precision;
  options.exact_residuals = common.check;
  if (line.given("tol")) options.tolerance = tolerance_;
  if (!eval.empty() && data.empty())
    throw InputError("--eval: needs --data, the rows that the eigenvectors belong to");
  if (!eval.empty() && values_only_)
    throw InputError("--eval: eigenfunctions need eigenvectors: leave --values-only out");
  for (const char* option : {"storage", "block", "start", "checkpoint"})
    if (options.direct_asked() && line.given(option))
      throw InputError("--{}: belongs to --solver krylov, not to {}{}", option, solver_,
                       jobs::instead_of(option));
  if (!diagnostics_.empty()) {
    diagnostics.emplace();
    if (diagnostics_ != "auto")
      diagnostics->thresholds = parse_numbers("--diagnostics", diagnostics_);
    diagnostics->validate();
  }
  if (!leverage_.empty() && !leverage_relative_.empty())
    throw InputError("--leverage-relative: give this or --leverage, not both");
  options.leverage.relative = !leverage_relative_.empty();
  if (options.leverage.relative)
    options.leverage.ridges = parse_numbers("--leverage-relative", leverage_relative_);
  if (!leverage_.empty()) options.leverage.ridges = parse_numbers("--leverage", leverage_);
  if (line.given("probes") && !options.leverage.asked())
    throw InputError("--probes: are for --leverage: give its ridges, or leave this out");
  if (!estimates_.empty()) options.estimates = parse_number("--estimates", estimates_);
  options.validate();
  options.validate(kernel);
}

}  // namespace mercer::drivers
