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
/// Prints how far the first ten and the last two spaces of eigenfunctions are from orthonormal over
/// the new rows, and notes the largest of these figures in the JSON record.
void print_evaluation(Session& session, const jobs::Evaluation& evaluation,
                      const std::vector<double>& values);
/// Prints condition, ranks, laws of decay and a table of the first ten and the last two spaces, and
/// notes them in the JSON record.
void print_diagnostics(Session& session, const jobs::Diagnostics& diagnostics,
                       const std::vector<double>& values);
/// Prints a table of the statistical dimensions and of the least, mean and greatest scores, and
/// notes it in the JSON record. Collective.
void print_leverage(Session& session, const msk::LeverageScores& leverage, double trace);
/// Notes what print_spectrum() prints in the JSON record, with method, flops and storage.
template <class T>
void note_spectrum(Session& session, const jobs::Spectrum<T>& spectrum);

}  // namespace mercer::drivers
