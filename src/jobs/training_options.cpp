#include <algorithm>
#include <functional>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/jobs/training.hpp"

namespace mercer::jobs {

std::string name(Precondition precondition) {
  switch (precondition) {
    case Precondition::kernel:
      return "kernel";
    case Precondition::empirical:
      return "empirical";
    default:
      return "none";
  }
}

void TrainingOptions::validate() const {
  descent.validate();
  spectrum.validate();
  if (preconditioned()) msk::SpectrumMap::parse(g);  // throws before any work
  if (top == 0 || top < -1) throw InputError("`top` {}: give at least 1 eigenpair", top);
  if (!preconditioned() && (top != -1 || g != "flat" || !spectrum.empty()))
    throw InputError("`precondition` none: takes no `top`, `g` or `spectrum`");
  if (descent.refresh > 0 && precondition != Precondition::empirical)
    throw InputError(
        "`refresh`: needs `precondition` empirical: the analytic kernel never changes");
  const bool pairs = spectrum.empty() && (preconditioned() || traced() > 0);
  if (!pairs && (method != spectral::Method::automatic || storage != gram::Storage::automatic))
    throw InputError(
        "`{}`: needs `top`, `g` or `directions`, and no `spectrum`: only then are pairs of K "
        "computed",
        storage != gram::Storage::automatic ? "storage" : "method");
  if (descent.checkpoint_every > 0 && checkpoint.empty())
    throw InputError("`checkpoint_every`: needs `checkpoint`");
  if (descent.residual_refresh > 0 && (descent.batch == 0 || blocks()))
    throw InputError("`residual_refresh`: needs `batch`, without `stochastic` block");
  if (sample < 0) throw InputError("`sample` {}: give at least 1 row", sample);
  if (sample > 0 && !on_parameters() && !plain_batches())
    throw InputError("`sample`: needs `batch` with `stochastic` parameters, or without S");
  if (new_blocks && !blocks())
    throw InputError("`new_blocks`: needs `batch` with `stochastic` block");
  if (on_parameters()) validate_on_parameters();
  if (joint_outputs) validate_joint();
  if (descent.refresh > 0 && !spectrum.empty())
    throw InputError(
        "`refresh`: computes the pairs of S again, but `spectrum` gives those of the start alone");
  if (blocks() && !spectrum.empty())
    throw InputError(
        "`spectrum`: holds eigenpairs of all rows, but `stochastic` block has an S for each block");
  if (blocks() && !directions.empty())
    throw InputError(
        "`directions`: need one K of all rows, but `stochastic` block has one for each block");
  if (blocks() && operator_spectrum)
    throw InputError(
        "`operator_spectrum`: needs one S of all rows, but `stochastic` block has one for each "
        "block");
  if (!std::ranges::is_sorted(directions, std::less_equal<>()) ||
      (!directions.empty() && directions.front() < 1))
    throw InputError("`directions`: give the numbers of eigenvectors, from 1, ascending");
  validate_traces();
  if (resume && checkpoint.empty()) throw InputError("`resume`: needs `checkpoint`");
}

void TrainingOptions::validate_on_parameters() const {
  if (precondition == Precondition::kernel)
    throw InputError(
        "`precondition` kernel: S on the parameters, of `batch`, takes the pairs of the network's "
        "own K_0 = J J^T/n: those of another kernel do not give its directions J^T v_i; give "
        "`precondition` empirical, or `stochastic` rows or block");
  if (!spectrum.empty())
    throw InputError(
        "`spectrum`: S on the parameters, of `batch`, takes pairs that are computed from the "
        "network; leave it out, or give `stochastic` rows");
  if (!directions.empty())
    throw InputError(
        "`directions`: are recorded with an S on residuals, not with that on the parameters, of "
        "`batch`: leave one of the two out");
  if (operator_spectrum)
    throw InputError("`operator_spectrum`: needs an S on residuals: leave `batch` out");
}

void TrainingOptions::validate_joint() const {
  if (precondition != Precondition::empirical)
    throw InputError(
        "`joint_outputs`: needs `precondition` empirical: other kernels have no entries of pairs "
        "of outputs");
  if (descent.batch > 0)
    throw InputError(
        "`joint_outputs`: is for full batches; the S of `batch` with `stochastic` parameters is of "
        "all outputs anyway");
  if (!spectrum.empty() || !directions.empty() || operator_spectrum)
    throw InputError(
        "`joint_outputs`: its pairs are of rows and outputs: leave `spectrum`, `directions` and "
        "`operator_spectrum` out");
}

void TrainingOptions::validate_traces() const {
  Index end = 0;
  for (const auto& space : eigenfunctions) {
    if (space.size < 1 || space.first < end)
      throw InputError(
          "`eigenfunctions`: give numbers from 1, ascending, each once, e.g. 1-10 or 1,2+3,4+5");
    end = space.first + space.size;
  }
  if (eigenfunctions.empty()) return;
  const char* reason = blocks()          ? "`stochastic` block has a K for each block of rows"
                       : on_parameters() ? "S on the parameters, of `batch`, acts on no residuals"
                       : joint_outputs   ? "`joint_outputs` has pairs of rows and outputs"
                       : descent.refresh > 0 ? "`refresh` changes S, and the prediction with it"
                                             : nullptr;
  if (reason != nullptr)
    throw InputError("`eigenfunctions`: are of one K of all rows, but {}", reason);
}

Index TrainingOptions::traced() const {
  const Index of_functions =
      eigenfunctions.empty() ? 0 : eigenfunctions.back().first + eigenfunctions.back().size;
  return std::max(directions.empty() ? 0 : directions.back(), of_functions);
}

std::string TrainingOptions::text() const {
  if (!preconditioned()) return "none: gradient descent";
  std::string text = fmt::format("{}, g = {}", name(precondition), g);
  text += top < 0 ? ", all eigenvalues" : fmt::format(", top {}", top);
  if (descent.batch > 0) text += ", stochastic " + train::name(descent.stochastic);
  if (joint_outputs) text += ", of all outputs together";
  if (new_blocks) text += ", new blocks in each epoch";
  if (descent.refresh > 0)
    text += fmt::format(", refreshed every {}", counted(descent.refresh, "step"));
  return text;
}

namespace {

/// 1 ... 8, then 16, 32, 64, ... up to k.
std::vector<Index> usual_directions(Index k) {
  std::vector<Index> which;
  for (Index i = 1; i <= std::min<Index>(k, 8); ++i) which.push_back(i);
  for (Index i = 16; i <= k; i *= 2) which.push_back(i);
  return which;
}

}  // namespace

TrainingOptions TrainingOptions::validated(Index n, Index given) const {
  validate();
  TrainingOptions options = *this;
  if (options.top < 0 && given > 0) options.top = std::min(n, given);
  if (options.descent.batch > n)
    throw InputError("`batch` {}: there are n = {} training rows", options.descent.batch, n);
  const Index rows = options.blocks() ? n / ceil_div(n, options.descent.batch) : n;
  if (options.sample > n)
    throw InputError("`sample` {}: there are n = {} training rows", options.sample, n);
  if (options.top > rows && !options.on_parameters() && !joint_outputs)
    throw InputError("`top` {}: give 1 ... {} eigenpairs, the rows of {}", options.top, rows,
                     options.blocks() ? "the smallest block" : "the training set");
  if (!options.directions.empty() && options.directions.back() > n)
    throw InputError("`directions` {}: there are n = {} eigenvectors", options.directions.back(),
                     n);
  if (options.traced() > n)
    throw InputError("`eigenfunctions` {}: there are n = {} eigenpairs", options.traced(), n);
  if (options.directions.empty() && options.default_directions && options.preconditioned() &&
      !options.blocks() && !options.on_parameters() && !joint_outputs)
    options.directions = usual_directions(options.top < 0 ? n : options.top);
  return options;
}

}  // namespace mercer::jobs
