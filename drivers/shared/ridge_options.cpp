#include "shared/ridge_options.hpp"

#include <cmath>

#include "mercer/base/text.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;
using jobs::Preconditioning;
using jobs::RidgeSolver;

namespace {

/// Sets the choice that `text` names; false for any other text.
bool read_choice(const std::string& text, std::optional<krr::RidgeCriterion>& choice) {
  if (text == "loo") choice = krr::RidgeCriterion::leave_one_out;
  if (text == "gcv") choice = krr::RidgeCriterion::gcv;
  if (text == "holdout") choice = krr::RidgeCriterion::holdout;
  return choice.has_value();
}

}  // namespace

void RidgeLine::add(CommandLine& line) {
  auto& o = options;
  auto add = line.group("Ridge regression").add_options();
  add("ridge", po::value(&ridge_)->value_name("G[,G2,...]|loo|gcv|holdout"),
      "gamma on K = k/n (a ridge h on the kernel that is not divided by n is gamma = h/n). loo, "
      "gcv: chosen by leave-one-out or generalised cross-validation from 1e-10 ... 10 trace(K)/n; "
      "of ridges whose scores differ by no more than rounding (cg: than the error of their "
      "estimates) the largest. holdout: chosen by the error on a tenth of the rows, held out of "
      "the fit, with cg. With a modified kernel the range is in trace(K_g)/n; loo estimates the "
      "error of refitting without each row, S included; gcv and holdout are those of the fixed "
      "matrix K_g, whose spectrum is that of all rows");
  add("ridge-relative", po::value(&ridge_relative_)->value_name("G[,...]"),
      "gamma = G trace(K)/n, of K before g");
  add("at-time", po::value(&times_)->value_name("T[,T2,...]|loo|gcv|holdout"),
      "predictions after training for a time t, by gradient flow df/dt = -K (f - Y) from f = 0, in "
      "place of a solution; inf: ridge regression. With --lr numbers of steps of gradient descent. "
      "loo, gcv: the time chosen by leave-one-out or generalised cross-validation of the linear "
      "smoother Y -> f, from 0.1/lambda_1 ... 1e10 n/trace(K); holdout: by the error on a tenth of "
      "the rows, held out. With --ridge (one; 0 if none is given) training has that ridge. Takes "
      "all eigenpairs, or those of --spectrum S.h5 (mercer-spectrum --top K) where there are too "
      "many rows: then what the other modes change is bounded");
  const auto positive = [](double eta) {
    if (!(eta > 0)) throw InputError("--lr {}: give a positive number", eta);
  };
  add("lr", po::value(&o.time.eta)->notifier(positive)->value_name("ETA"),
      "for --at-time: gradient descent on (1/2) |f - Y|^2 with this learning rate, less than "
      "2/(n lambda_1), in place of gradient flow: after T steps t = ETA n T");
  add("covariance", po::bool_switch(&o.time.covariance),
      "for --at-time: covariances between the predictions for the test rows too, m x m for each "
      "time. ntk: over the initialisations of wide networks, all layers trained; nngp: the readout "
      "alone trained, at inf the Gaussian process");
  add("learning-curve", po::value(&curve_)->value_name("N1[,N2,...]"),
      "the test error of n rows for n = N1, N2, ..., predicted from the spectrum of all rows, "
      "whose "
      "number n_0 is at least N, and measured by fits to random subsets. The error is the mean "
      "over "
      "rows of |f - y|^2, summed over outputs, the noise of the targets included. With --ridge "
      "every "
      "n has the same gamma, with --ridge-relative G that of G trace(K)/n for its own n. A subset "
      "is "
      "fitted as it would be by itself, g on its own spectrum; the prediction has g on that of all "
      "rows. Takes all eigenpairs");
  add("subsets", po::value(&o.curve.subsets)->value_name("R")->default_value(5),
      "for --learning-curve: how many random subsets of each size are fitted, measured on the test "
      "rows or, without these, on the training rows that are not in the subset; 0: none");
  add("top", po::value(&o.top)->value_name("K")->default_value(-1, "n"),
      "how many eigenvalues g changes; where --top splits an eigenspace and g jumps there, all of "
      "that space");
  add("g", po::value(&o.g)->value_name("NAME|EXPR")->implicit_value("flat"),
      "flat: lk, flat:c: c lk, identity: l, power:p: lk (l/lk)^p, inverse: 1, table:FILE (lines "
      "lambda,g: linear in log lambda between them, constant beyond), or an "
      "expression in l (lambda_i), lk (lambda_(K+1)), l1 (lambda_1), i, e.g. \"sqrt(l*lk)\"");
  add("predict", po::value(&predict_)->value_name("NAME")->default_value("inductive"),
      "inductive (Nystrom, any number of test rows) or transductive (the spectrum includes the "
      "test rows)");
  add("solver", po::value(&solver_)->value_name("NAME")->default_value("auto"),
      "cholesky: direct, exact to rounding, n^3 flops: right for moderate n. cg: conjugate "
      "gradients, to --cg-tol, n^2 flops an iteration: right for large n, and where K does not "
      "fit. auto: cholesky up to n = 10 000 where it fits, beyond that what Mercer's model "
      "predicts to be faster. elpa1, elpa2, scalapack, lapack, krylov: direct, with this "
      "eigensolver where pairs are needed");
  add("spectrum", po::value(&o.spectrum.file)->value_name("S.h5"),
      "eigenpairs of the same data and kernel, stored by mercer-spectrum; --g acts on all of them "
      "unless --top says less; with cg also the preconditioner");
  add("model", po::value(&model)->value_name("R.h5"),
      "predict from this stored result instead of fitting");
  add("model-rows", po::value(&rows_)->value_name("stored|reference")->default_value(rows_),
      "how --out keeps the training rows, which predictions need. stored: the prepared inputs, 8 n "
      "d bytes. reference: the data SPEC and a hash; --model then reads the rows again, from "
      "--train if they have moved");

  auto& iterative = line.group("Conjugate gradients (--solver cg)");
  storage_.add(iterative, o.storage);
  auto more = iterative.add_options();
  more("preconditioner",
       po::value(&preconditioner_)->value_name("NAME")->default_value(preconditioner_),
       "cholesky: randomly pivoted, --rank columns of K: right nearly always. eigenpairs: the top "
       "--rank pairs, or those of --spectrum or --g: right where they are computed anyway. none: "
       "right for large ridges. auto: eigenpairs where they are there anyway, else cholesky");
  more("rank", po::value(&o.rank)->value_name("R")->default_value(0, "chosen"),
       "rank of the preconditioner. A larger one saves iterations, and costs n R/P numbers a rank "
       "and n R^2 flops once: right for small ridges");
  more("cg-tol", po::value(&o.cg_tol)->value_name("E")->default_value(1e-8, "1e-8"),
       "stop at |Y - (K + gamma I) A| <= E |Y| for every output. Smaller is right where the ridge "
       "is small and coefficients matter, larger where predictions alone do");
  more("max-iterations", po::value(&o.max_iterations)->value_name("N")->default_value(1000),
       "at most so many iterations for each ridge");
  checkpoints_.add(iterative, o.checkpoints);
}

void RidgeLine::read_times() {
  if (times_.empty()) {
    if (options.time.eta != 0)
      throw InputError("--lr: is the learning rate of --at-time: give both, or none");
    if (options.time.covariance)
      throw InputError("--covariance: is that after the times of --at-time: give both, or none");
    return;
  }
  if (!read_choice(times_, options.time.choice))
    options.time.times = parse_numbers("--at-time", times_);
  if (ridge_.empty() && ridge_relative_.empty()) ridge_ = std::string("0");
}

void RidgeLine::read_curve(const CommandLine& line) {
  if (curve_.empty()) {
    if (line.given("subsets"))
      throw InputError("--subsets: are those of --learning-curve: give both, or none");
    return;
  }
  for (const double n : parse_numbers("--learning-curve", curve_)) {
    if (!(n >= 1 && n < 1e15 && n == std::round(n)))
      throw InputError("--learning-curve {}: give whole numbers of rows, from 1", curve_);
    options.curve.sizes.push_back(static_cast<Index>(n));
  }
}

void RidgeLine::read_ridges() {
  if (ridge_.empty() == ridge_relative_.empty())
    throw InputError(
        "give the ridge once: --ridge G (gamma on K = k/n), --ridge-relative G (times trace(K)/n), "
        "--ridge loo, gcv or holdout");
  options.relative = ridge_.empty();
  const std::string& text = options.relative ? ridge_relative_ : ridge_;
  options.given = (options.relative ? "--ridge-relative " : "--ridge ") + text;
  if (!read_choice(text, options.choice))
    options.ridges = parse_numbers(options.relative ? "--ridge-relative" : "--ridge", text);
}

void RidgeLine::read_solver() {
  if (solver_ == "auto") return;
  if (solver_ == "cg") {
    options.solver = RidgeSolver::conjugate_gradients;
    return;
  }
  options.solver = RidgeSolver::direct;
  if (solver_ == "cholesky") return;
  try {
    options.eigensolver = spectral::parse_method(solver_);
  } catch (const InputError&) {
    throw InputError(
        "--solver {}: give auto, cholesky, cg, or an eigensolver: elpa1, elpa2, scalapack, "
        "lapack, krylov",
        solver_);
  }
}

void RidgeLine::read(const CommandLine& line, const gram::Source& kernel) {
  auto& o = options;
  read_times();
  read_curve(line);
  read_ridges();
  if (predict_ != "inductive" && predict_ != "transductive")
    throw InputError("--predict {}: give inductive or transductive", predict_);
  o.transductive = predict_ == "transductive";
  if (rows_ != "stored" && rows_ != "reference")
    throw InputError("--model-rows {}: give stored or reference", rows_);
  if (line.given("model-rows") && (common.out.empty() || o.transductive))
    throw InputError("--model-rows: says what the model in --out holds: {}",
                     o.transductive ? "--predict transductive makes none" : "give --out");
  reference = rows_ == "reference";
  read_solver();
  if (preconditioner_ == "none")
    o.preconditioner = Preconditioning::none;
  else if (preconditioner_ == "eigenpairs")
    o.preconditioner = Preconditioning::eigenpairs;
  else if (preconditioner_ == "cholesky")
    o.preconditioner = Preconditioning::cholesky;
  else if (preconditioner_ != "auto")
    throw InputError("--preconditioner {}: give auto, none, eigenpairs or cholesky",
                     preconditioner_);
  storage_.read();
  checkpoints_.read(line);
  o.single = common.single_precision;
  for (const char* option :
       {"storage", "preconditioner", "rank", "cg-tol", "max-iterations", "checkpoint"}) {
    if (!line.given(option)) continue;
    if (o.solver == RidgeSolver::direct)
      throw InputError("--{}: belongs to --solver cg, not to {}{}", option, solver_,
                       jobs::instead_of(option));
    if (o.asked_by.empty()) o.asked_by = std::string("--") + option;
  }
  o.validate();
  o.validate(kernel);
}

void RidgeLine::expect_no_fit(CommandLine& line) const {
  line.expect_only("model train test limit-test target header kernel seed",
                   fmt::format("is for a fit, but --model {} is fitted, and states its kernel and "
                               "how rows are read and prepared: leave it out",
                               model));
  if (preparation.csv_target == "none")
    throw InputError(
        "--target none: --model {} knows its targets, which test rows may lack: leave it out",
        model);
}

}  // namespace mercer::drivers
