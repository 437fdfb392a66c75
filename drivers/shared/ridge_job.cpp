#include "shared/ridge_job.hpp"

#include <cmath>

#include "mercer/msk/spectrum_map.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

void RidgeJob::add(CommandLine& line) {
  auto add = line.group("Ridge regression").add_options();
  add("ridge", po::value(&ridge)->value_name("G[,G2,...]|loo|gcv|holdout"),
      "gamma on K = k/n (a ridge of h on the kernel that is not divided by n is gamma = h/n); "
      "loo, gcv: "
      "chosen by leave-one-out or generalised cross-validation among 1e-10 ... 10 trace(K)/n, "
      "the largest of those whose scores differ by no more than rounding (cg: than the error of "
      "their estimates); holdout: by a tenth of the rows that the fit does not see, with cg. Of a "
      "modified kernel the range is that of trace(K_g)/n; loo estimates the error of refitting "
      "without each row (S stays that of all rows), gcv and holdout are of the fixed matrix K_g, "
      "whose spectrum is that of all rows");
  add("ridge-relative", po::value(&ridge_relative)->value_name("G[,...]"),
      "gamma = G trace(K)/n, K before g");
  add("top", po::value(&top)->value_name("K")->default_value(-1, "n"),
      "how many eigenvalues g changes; more where g jumps within an eigenspace that K cuts");
  add("g", po::value(&g)->value_name("NAME|EXPR")->implicit_value("flat"),
      "flat: lk, flat:c: c lk, identity: l, power:p: lk (l/lk)^p, inverse: 1, table:FILE, or an "
      "expression in l (lambda_i), lk (lambda_(K+1)), l1 (lambda_1), i, e.g. \"sqrt(l*lk)\"");
  add("predict", po::value(&predict)->value_name("NAME")->default_value("inductive"),
      "inductive (Nystrom, any number of test rows) or transductive (test rows take part in the "
      "spectrum)");
  add("solver", po::value(&solver)->value_name("NAME")->default_value("auto"),
      "cholesky: direct, to rounding, n^3: right for moderate n. cg: conjugate gradients, to "
      "--cg-tol, n^2 an iteration: right for large n, and where K does not fit. auto: cholesky up "
      "to n = 10 000 where it fits, beyond that what Mercer's model says. elpa1, elpa2, scalapack, "
      "lapack, krylov: direct, with this eigensolver where pairs are needed");
  add("spectrum", po::value(&spectrum)->value_name("S.h5"),
      "stored eigenpairs of the same data and kernel, by mercer-spectrum; with cg also as "
      "preconditioner");
  add("model", po::value(&model)->value_name("R.h5"), "predict from a stored result");

  auto& iterative = line.group("Conjugate gradients (--solver cg)");
  storage.add(iterative);
  auto more = iterative.add_options();
  more("preconditioner",
       po::value(&preconditioner)->value_name("NAME")->default_value(preconditioner),
       "cholesky: randomly pivoted, --rank columns of K: right nearly always. eigenpairs: the top "
       "--rank pairs, or those of --spectrum and --top: right where they are there anyway. none: "
       "right for large ridges. auto: eigenpairs where they are there, else cholesky");
  more("rank", po::value(&rank)->value_name("R")->default_value(0, "chosen"),
       "of the preconditioner: larger ones take fewer iterations, n R/P numbers a rank, and n R^2 "
       "flops once; more is right for small ridges");
  more("cg-tol", po::value(&cg_tolerance)->value_name("E")->default_value(1e-8, "1e-8"),
       "stop at |Y - (K + gamma I) A| <= E |Y|, every output; smaller is right where the ridge is "
       "small and coefficients matter, larger for predictions alone");
  more("max-iterations", po::value(&max_iterations)->value_name("N")->default_value(1000),
       "of conjugate gradients, a ridge");
  checkpoints.add(iterative);
}

spectral::Method RidgeJob::eigensolver() const {
  return solver == "cholesky" || solver == "cg" ? spectral::Method::automatic
                                                : spectral::parse_method(solver);
}

void RidgeJob::parse_ridges() {
  if (ridge.empty() == ridge_relative.empty())
    throw InputError(
        "give the ridge once: --ridge G (gamma on K = k/n), --ridge-relative G (times trace(K)/n), "
        "--ridge loo, gcv or holdout");
  relative = ridge.empty();
  const std::string option = relative ? "--ridge-relative" : "--ridge";
  const std::string& text = relative ? ridge_relative : ridge;
  if (text == "loo") score = krr::RidgeCriterion::leave_one_out;
  if (text == "gcv") score = krr::RidgeCriterion::gcv;
  if (text == "holdout") score = krr::RidgeCriterion::holdout;
  if (score.has_value()) return;
  ridges = parse_numbers(option, text);
  for (const double value : ridges)
    if (!(value >= 0 && std::isfinite(value)))
      throw InputError("{} {}: a ridge is a number that is not negative", option, text);
}

void RidgeJob::settle(const CommandLine& line) {
  parse_ridges();
  if (predict != "inductive" && predict != "transductive")
    throw InputError("--predict {}: give inductive or transductive", predict);
  if (top != -1 && g.empty()) g = "flat";
  if (modified()) msk::SpectrumMap::parse(g);  // throws before any work
  if (solver != "auto" && solver != "cholesky" && solver != "cg") {
    try {
      spectral::parse_method(solver);
    } catch (const InputError&) {
      throw InputError(
          "--solver {}: give auto, cholesky, cg, or an eigensolver: elpa1, elpa2, scalapack, "
          "lapack, krylov",
          solver);
    }
  }
  if (preconditioner != "auto" && preconditioner != "none" && preconditioner != "eigenpairs" &&
      preconditioner != "cholesky")
    throw InputError("--preconditioner {}: give auto, none, eigenpairs or cholesky",
                     preconditioner);
  if (rank < 0) throw InputError("--rank {}: give at least 1", rank);
  if (rank > 0 && preconditioner == "none")
    throw InputError("--rank {}: --preconditioner none has none", rank);
  if (!(cg_tolerance > 0 && cg_tolerance < 1))
    throw InputError("--cg-tol {}: give a number between 0 and 1", cg_tolerance);
  if (max_iterations < 1) throw InputError("--max-iterations {}: give at least 1", max_iterations);
  checkpoints.settle(line);
  const bool holdout = score == krr::RidgeCriterion::holdout;
  iterative_asked_by_ = solver == "cg" ? "--solver cg" : holdout ? "--ridge holdout" : "";
  for (const char* option :
       {"storage", "preconditioner", "rank", "cg-tol", "max-iterations", "checkpoint"}) {
    if (!line.given(option)) continue;
    if (direct_asked()) throw InputError("--{}: belongs to --solver cg, not to {}", option, solver);
    if (!iterative_asked()) iterative_asked_by_ = std::string("--") + option;
  }
  if (holdout && direct_asked())
    throw InputError("--ridge holdout: is chosen with --solver cg, not with {}", solver);
  if (!iterative_asked()) return;
  if (transductive())
    throw InputError("--predict transductive: is direct, conjugate gradients are inductive");
  if (modified() && top == -1 && spectrum.empty())
    throw InputError("--solver cg: give the number of eigenvalues that g changes: --top K");
}

void RidgeJob::settle(const gram::Source& kernel) {
  storage.settle(kernel, common.single_precision);
  if (!transductive()) return;
  if (score.has_value() || ridges.size() != 1)
    throw InputError("--predict transductive: takes one ridge, --ridge G or --ridge-relative G");
  if (kernel.is_stored() || !spectrum.empty())
    throw InputError(
        "--predict transductive: needs a kernel function, its spectrum is that of training and "
        "test rows together: leave file: and --spectrum out");
}

std::vector<double> RidgeJob::gammas(double mean_diagonal) const {
  if ((relative || score.has_value()) && mean_diagonal == 0)
    throw InputError(
        "--{} {}: is measured in trace(K)/n, and K is zero: the rows are zero in every input (a "
        "column that is constant is so after --standardize); give inputs that vary, a --bias-std, "
        "or --ridge G",
        relative ? "ridge-relative" : "ridge", relative ? ridge_relative : ridge);
  auto gammas = ridges;
  if (relative)
    for (double& gamma : gammas) gamma *= mean_diagonal;
  return gammas;
}

}  // namespace mercer::drivers
