#pragma once

#include <span>

// Shared by the exact and the estimated leverage scores.

namespace mercer::msk {

/// lambda/(lambda + gamma); an eigenvalue below 0 counts as 0.
double free_share(double lambda, double gamma);

/// Throws InputError where there are no ridges or one is not positive and finite.
void require_ridges(std::span<const double> ridges);

}  // namespace mercer::msk
