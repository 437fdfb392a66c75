#pragma once

#include <string>
#include <vector>

#include "mercer/jobs/spectrum.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// Prints the first ten and the last two eigenvalues (all of a dozen) as a table, the largest
/// residual and the orthogonality that were measured, what is accepted, and what --estimates gives.
template <class T>
void print_spectrum(Session& session, const jobs::Spectrum<T>& spectrum);
/// Notes the same in the JSON record, with method, flops and storage.
template <class T>
void note_spectrum(Session& session, const jobs::Spectrum<T>& spectrum);

}  // namespace mercer::drivers
