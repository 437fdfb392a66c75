#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/jobs/ridge.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {

std::string name(Preconditioning preconditioning) {
  switch (preconditioning) {
    case Preconditioning::none:
      return "none";
    case Preconditioning::eigenpairs:
      return "eigenpairs";
    case Preconditioning::cholesky:
      return "cholesky";
    default:
      return "auto";
  }
}

std::string name(krr::RidgeCriterion criterion) {
  return criterion == krr::RidgeCriterion::gcv             ? "gcv"
         : criterion == krr::RidgeCriterion::leave_one_out ? "loo"
                                                           : "holdout";
}

std::vector<krr::GradientFlow> TimeOptions::flows(double gamma, Index n) const {
  std::vector<krr::GradientFlow> all;
  for (const double time : times) {
    all.push_back(flow(gamma, n));
    all.back().time = eta > 0 ? time * all.back().step : time;
  }
  return all;
}

std::string RidgeOptions::iterative_asked_by() const {
  if (solver == RidgeSolver::conjugate_gradients) return "`solver` cg";
  if (choice == krr::RidgeCriterion::holdout) return "`choice` holdout";
  if (!asked_by.empty()) return asked_by;
  if (storage != gram::Storage::automatic) return "`storage`";
  if (preconditioner != Preconditioning::automatic) return "`preconditioner`";
  if (rank > 0) return "`rank`";
  return checkpoints.asked() ? "`checkpoint`" : "";
}

std::string RidgeOptions::as_given() const {
  if (!given.empty()) return given;
  return choice.has_value() ? "`choice` " + name(*choice)
                            : fmt::format("`ridges` {}", fmt::join(ridges, ","));
}

std::vector<double> RidgeOptions::gammas(double mean_diagonal) const {
  if ((relative || choice.has_value()) && mean_diagonal == 0)
    throw InputError(
        "{}: is relative to trace(K)/n, but K is zero: the rows are zero in every input (as "
        "constant columns are after `standardize`); give inputs that vary, a `bias_std`, or "
        "`ridges` G",
        as_given());
  auto gammas = ridges;
  if (relative)
    for (double& gamma : gammas) gamma *= mean_diagonal;
  return gammas;
}

namespace {

void validate_time(const RidgeOptions& options) {
  const TimeOptions& time = options.time;
  if (!time.asked()) {
    if (time.eta != 0) throw InputError("`eta`: is the rate of gradient descent: give `times` too");
    if (time.covariance)
      throw InputError("`covariance`: is that after training times: give `times` too");
    return;
  }
  if (!time.times.empty() && time.choice.has_value())
    throw InputError("`times`: give either these or a `choice`, the criterion that chooses one");
  if (!(time.eta >= 0 && std::isfinite(time.eta)))
    throw InputError("`eta` {}: give a positive number", time.eta);
  for (const double t : time.times) {
    if (!(t > 0)) throw InputError("`times` {}: a training time is a positive number, or inf", t);
    if (time.eta > 0 && std::isfinite(t) && t != std::round(t))
      throw InputError("`times` {}: with `eta` they are whole numbers of steps", t);
  }
  if (options.ridges.size() != 1)
    throw InputError("{}: training times take one ridge, which may be 0", options.as_given());
  if (options.transductive)
    throw InputError("`transductive`: takes a ridge, not training times: leave one of them out");
  if (const auto asked = options.iterative_asked_by(); !asked.empty())
    throw InputError(
        "{}: training times take eigenpairs, of a direct solver or `spectrum`: leave it out",
        asked);
  if (time.covariance && options.modified())
    throw InputError(
        "`covariance`: is of training with K, not with a modified spectrum: leave `g` and `top` "
        "out");
}

void validate_curve(const RidgeOptions& options) {
  const CurveOptions& curve = options.curve;
  if (!curve.asked()) return;
  for (const Index n : curve.sizes)
    if (n < 1) throw InputError("`learning_curve` {}: give whole numbers of rows, from 1", n);
  if (curve.subsets < 0 || curve.subsets == 1)
    throw InputError("`subsets` {}: give 2 or more, whose spread tells the error, or 0 to fit none",
                     curve.subsets);
  if (options.time.asked())
    throw InputError("`times`: a learning curve is of ridge regression: leave one of them out");
  if (options.transductive)
    throw InputError(
        "`transductive`: a learning curve is of fits that predict any row: leave one of them out");
  if (const auto asked = options.iterative_asked_by(); !asked.empty())
    throw InputError(
        "{}: a learning curve takes all eigenpairs, from a direct solver: leave it out", asked);
}

/// A learning curve, for these rows.
void validate_curve(const RidgeOptions& options, const data::Split& sets) {
  const CurveOptions& curve = options.curve;
  if (!curve.asked()) return;
  const Index n = sets.train.rows();
  if (!sets.train.reading.augment.empty())
    throw InputError(
        "`augment`: a learning curve takes rows that are independent, not mirror images: leave one "
        "of them out");
  const bool others = curve.subsets > 0 && !on_test_rows(sets);
  for (const Index size : curve.sizes) {
    if (size > n - (others ? 1 : 0))
      throw InputError("`learning_curve` {}: the training set has {} rows{}", size, n,
                       others
                           ? ", of which some must be left to measure the error (or give `test`, "
                             "or `subsets` 0)"
                           : "");
    if (options.top > 0 && curve.subsets > 0 && size < options.top)
      throw InputError("`learning_curve` {}: `top` {} is more: give n >= `top`, or `subsets` 0",
                       size, options.top);
  }
}

}  // namespace

void RidgeOptions::validate() const {
  if (ridges.empty() != choice.has_value())
    throw InputError("`ridges`: give either these or a `choice`, the criterion that chooses one");
  for (const double value : ridges)
    if (!(value >= 0 && std::isfinite(value)))
      throw InputError("{}: a ridge must be a finite number that is not negative", as_given());
  validate_time(*this);
  validate_curve(*this);
  if (modified()) msk::SpectrumMap::parse(map());  // throws before any work
  if (rank < 0) throw InputError("`rank` {}: give at least 1", rank);
  if (rank > 0 && preconditioner == Preconditioning::none)
    throw InputError("`rank` {}: `preconditioner` none has no rank", rank);
  if (!(cg_tol > 0 && cg_tol < 1))
    throw InputError("`cg_tol` {}: give a number between 0 and 1", cg_tol);
  if (max_iterations < 1) throw InputError("`max_iterations` {}: give at least 1", max_iterations);
  spectrum.validate();
  checkpoints.validate();
  const auto asked = iterative_asked_by();
  if (!asked.empty() && !spectrum.empty()) {
    const bool M_of_pairs = preconditioner == Preconditioning::automatic ||
                            preconditioner == Preconditioning::eigenpairs;
    if (M_of_pairs && rank > 0)
      throw InputError("`rank` {}: the preconditioner takes the pairs of {}: leave it out", rank,
                       spectrum.text());
    if (!M_of_pairs && !modified())
      throw InputError("{}: serves neither `g` nor `preconditioner` {}: leave it out",
                       spectrum.text(), name(preconditioner));
  }
  if (solver == RidgeSolver::direct && !asked.empty()) {
    const auto direct =
        eigensolver == spectral::Method::automatic ? "cholesky" : spectral::name(eigensolver);
    if (choice == krr::RidgeCriterion::holdout)
      throw InputError("`choice` holdout: needs `solver` cg, not {}", direct);
    throw InputError("{}: belongs to `solver` cg, not to {}", asked, direct);
  }
  if (transductive && (choice.has_value() || ridges.size() != 1))
    throw InputError("`transductive`: takes one ridge, `ridges` G or `relative` G");
  if (asked.empty()) return;
  if (eigensolver != spectral::Method::automatic)
    throw InputError(
        "`eigensolver` {}: takes an assembled K, but {} asks for conjugate gradients, which take "
        "pairs by block Krylov",
        spectral::name(eigensolver), asked);
  if (transductive)
    throw InputError(
        "`transductive`: takes a direct solver, but conjugate gradients were asked for");
  if (modified() && top == -1 && spectrum.empty())
    throw InputError("`solver` cg: give the number of eigenvalues that g acts on: `top` K");
}

void RidgeOptions::validate(const data::Split& sets) const {
  const auto& train = sets.train;
  if (train.rows() == 0) throw InputError("the training set has no rows");
  if (train.outputs() == 0 || train.known_rows < train.rows())
    throw InputError("{} of {} training rows have targets, which all of them need",
                     train.outputs() == 0 ? 0 : train.known_rows, train.rows());
  constexpr Index kFewest = 4;  // two on either side
  if (choice == krr::RidgeCriterion::holdout && train.rows() < kFewest)
    throw InputError("`choice` holdout: needs at least {} training rows, these are {}", kFewest,
                     train.rows());
  if (time.choice == krr::RidgeCriterion::holdout && train.rows() < kFewest)
    throw InputError("holdout of a training time needs at least {} training rows, these are {}",
                     kFewest, train.rows());
  if (time.covariance && !sets.test.has_value())
    throw InputError("`covariance`: is of predictions: give `test` or `split`");
  validate_curve(*this, sets);
  if (transductive && !sets.test.has_value())
    throw InputError("`transductive`: needs test rows: give `test` or `split`");
  const Index n = train.rows() + (transductive ? sets.test->rows() : 0);
  if (top == 0 || top < -1 || top > n)
    throw InputError("`top` {}: give 1 ... {} = {} eigenpairs", top, transductive ? "n + m" : "n",
                     n);
}

void RidgeOptions::validate(const gram::Source& kernel) const {
  check_storage(storage, kernel, single);
  if (time.covariance && (kernel.is_stored() || kernel::nngp_of(kernel.kernel()) == nullptr))
    throw InputError("`covariance`: is of the networks of an ntk or nngp kernel, not of {}",
                     kernel.text());
  if (curve.asked() && curve.subsets > 0 && kernel.is_stored())
    throw InputError(
        "`learning_curve`: fits to subsets of the rows need a kernel function, not a file: give "
        "`subsets` 0, for predictions alone");
  if (transductive && (kernel.is_stored() || !spectrum.empty()))
    throw InputError(
        "`transductive`: takes the spectrum of training and test rows, which needs a "
        "kernel function: leave file: and `spectrum` out");
}

}  // namespace mercer::jobs
