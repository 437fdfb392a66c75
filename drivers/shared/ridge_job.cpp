#include "shared/ridge_job.hpp"

#include <cmath>

namespace mercer::drivers {

void RidgeJob::parse_ridges() {
  if (ridge.empty() == ridge_relative.empty())
    throw InputError(
        "give the ridge once: --ridge G (gamma on K = k/n), --ridge-relative G (times trace(K)/n), "
        "--ridge loo or --ridge gcv");
  relative = ridge.empty();
  const std::string option = relative ? "--ridge-relative" : "--ridge";
  const std::string& text = relative ? ridge_relative : ridge;
  if (text == "loo") score = krr::SpectralPath<double>::Score::leave_one_out;
  if (text == "gcv") score = krr::SpectralPath<double>::Score::gcv;
  if (score.has_value()) return;
  ridges = parse_numbers(option, text);
  for (const double value : ridges)
    if (!(value >= 0 && std::isfinite(value)))
      throw InputError("{} {}: a ridge is a number that is not negative", option, text);
}

}  // namespace mercer::drivers
