#pragma once

#include "mercer/data/dataset.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// Verifies a kernel from files against the rows of the job: K.h5 must be k(train, train), CROSS.h5
/// k(test, train) (`test` may be null). Logs what the files do not let it verify. Returns the
/// source to use from here on. Throws InputError as gram::Source does. Collective.
gram::Source verified(Session& session, gram::Source kernel, const data::Dataset& train,
                      const data::Dataset* test);

/// --check: compares entries k(x_i, x_j) of the tile functions with the scalar reference and prints
/// the difference on one line. True where they agree, and where the kernel is from a file or has no
/// reference. Collective.
bool check_kernel(Session& session, const gram::Source& kernel, const dist::RowBlock<double>& X);

}  // namespace mercer::drivers
