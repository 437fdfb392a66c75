#pragma once

#include <string>
#include <vector>

#include "mercer/jobs/spectrum.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// The first eigenvalues as a table, and of all of them what was measured, and what is accepted;
/// and what --estimates tells of the whole spectrum.
template <class T>
void print_spectrum(Session& session, const jobs::Spectrum<T>& spectrum);
/// Into the JSON record.
template <class T>
void note_spectrum(Session& session, const jobs::Spectrum<T>& spectrum);

}  // namespace mercer::drivers
