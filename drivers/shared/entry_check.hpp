#pragma once

#include "shared/session.hpp"

namespace mercer::drivers {

/// --check: compares entries k(x_i, x_j) of the tile functions with the scalar reference and prints
/// the difference on one line. True where they agree, and where the kernel is from a file or has no
/// reference. Collective.
bool check_kernel(Session& session, const gram::Source& kernel, const dist::RowBlock<double>& X);

}  // namespace mercer::drivers
