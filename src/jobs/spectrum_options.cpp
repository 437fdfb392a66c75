#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {

double asked_tolerance(const SpectrumOptions& options) {
  constexpr double kUsual = 1e-10;
  return options.tolerance.value_or(kUsual);
}

bool SpectrumOptions::direct_asked() const {
  return method != spectral::Method::automatic && method != spectral::Method::krylov;
}

std::string SpectrumOptions::asked_by() const {
  if (method != spectral::Method::automatic) return "`method` " + spectral::name(method);
  return storage != gram::Storage::automatic ? "`storage`"
         : block > 0                         ? "`block`"
         : !start.empty()                    ? "`start`"
         : start_pairs != nullptr            ? "`start_pairs`"
         : checkpoints.asked()               ? "`checkpoint`"
                                             : "";
}

void SpectrumOptions::validate() const {
  checkpoints.validate();
  const double limit = asked_tolerance(*this);
  if (!start.empty() && start_pairs != nullptr)
    throw InputError("`start` {}: give a file or `start_pairs`, not both", start);
  if (block < 0) throw InputError("`block` {}: give at least 1 vector", block);
  if (!(limit > 0 && limit < 1))
    throw InputError("`tolerance` {}: give a number between 0 and 1", limit);
  if (single && tolerance.has_value() && !(limit >= kSingle))
    throw InputError(
        "`tolerance` {}: vectors in single precision have residuals of {:.1e} lambda_1 at best: "
        "leave `tolerance` out to accept rounding errors, or leave `single` out",
        limit, kSingle);
  const std::pair<const char*, bool> of_krylov[] = {
      {"storage", storage != gram::Storage::automatic},
      {"block", block > 0},
      {"start", !start.empty()},
      {"start_pairs", start_pairs != nullptr},
      {"checkpoint", checkpoints.asked()}};
  for (const auto& [field, given] : of_krylov)
    if (given && direct_asked())
      throw InputError("`{}`: belongs to `method` krylov, not to {}{}", field,
                       spectral::name(method), instead_of(field));
  if (iterative_asked() && !(limit >= kLeastTolerance))
    throw InputError(
        "`tolerance` {}: krylov reaches residuals of {} at best; for smaller ones take a direct "
        "solver",
        limit, kLeastTolerance);
  if (eval_rows > 0 && !vectors)
    throw InputError("`eval`: eigenfunctions need eigenvectors: leave `values_only` out");
  leverage.validate();
  if (leverage.asked() && !vectors)
    throw InputError("`leverage`: scores need eigenvectors: leave `values_only` out");
  if (aligned < 0) throw InputError("`diagnostics`: {} columns of targets", aligned);
  if (estimates.has_value() && !(*estimates > 0 && std::isfinite(*estimates)))
    throw InputError("`estimates` {}: give a ridge > 0, relative to trace(K)/n", *estimates);
}

void SpectrumOptions::validate(Index n) const {
  if (top == 0 || top < -1 || top > n)
    throw InputError("`top` {}: give 1 ... n = {} eigenpairs", top, n);
  if (start_pairs == nullptr) return;
  if (start_pairs->pairs.n > n)
    throw InputError("`start_pairs`: have eigenvectors of {}, this job has n = {}",
                     counted(start_pairs->pairs.n, "row"), n);
  if (start_pairs->pairs.vectors.cols() < 1)
    throw InputError("`start_pairs`: have no eigenvectors");
}

void SpectrumOptions::validate(const gram::Source& kernel) const {
  check_storage(storage, kernel, single);
}

}  // namespace mercer::jobs
