#pragma once

#include "mercer/data/dataset.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// A stored kernel beside the rows of the job: K.h5 is k of `train`, CROSS.h5 k(test, train). Says
/// what files cannot tell. Returns the source to use from here on. Throws InputError as
/// gram::Source does. Collective.
gram::Source verified(Session& session, gram::Source kernel, const data::Dataset& train,
                      const data::Dataset* test);

/// The cross matrix of a stored model's kernel beside new rows: k(test, the model's rows).
/// Collective.
gram::Source verified_cross(Session& session, gram::Source kernel, const gram::RowIdentity& rows,
                            const data::Dataset& test);

/// --check: entries of k(x_i, x_j) as the tile functions give them beside the scalar reference, on
/// one line. True where they agree, and where the kernel is stored or has no reference. Collective.
bool check_kernel(Session& session, const gram::Source& kernel, const dist::RowBlock<double>& X);

}  // namespace mercer::drivers
