#pragma once

#include "mercer/base/index.hpp"

namespace mercer::spectral {

/// Gaussian columns W with which errors E of matrices are estimated from products E W alone: the
/// mean of |E W|_F^2/s is |E|_F^2, its relative standard deviation at most sqrt(2/s) = 0.35.
inline constexpr Index kResidualProbes = 16;

}  // namespace mercer::spectral
