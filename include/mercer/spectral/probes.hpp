#pragma once

#include "mercer/base/index.hpp"

namespace mercer::spectral {

/// s, the number of Gaussian columns W with which the norm of an error matrix E is estimated from
/// the product E W: |E W|_F^2/s has the mean |E|_F^2 and a relative standard deviation of at most
/// sqrt(2/s) = 0.35.
inline constexpr Index kResidualProbes = 16;

}  // namespace mercer::spectral
