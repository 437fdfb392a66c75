#pragma once

#include <string>
#include <vector>

#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/estimates.hpp"
#include "shared/spectrum_job.hpp"

namespace mercer::drivers {

/// The largest of the residuals; infinite if one is NaN, -1 where none were measured.
double largest_residual(const std::vector<double>& residuals);

/// The first eigenvalues as a table, and of all of them what was measured, and what is accepted.
template <class T>
void print_spectrum(const Session& session, const spectral::Eigenpairs<T>& pairs,
                    const Accepted& accepted);
/// Into the JSON record.
template <class T>
void note_spectrum(Session& session, const spectral::Eigenpairs<T>& pairs,
                   const Accepted& accepted);

/// Eigenvalues and residuals against their number, as a picture. Collective.
void plot_spectrum(const Session& session, const std::vector<double>& values,
                   const std::vector<double>& residuals);

/// What --estimates tells of the whole spectrum.
struct SpectrumEstimates {
  double trace = 0;
  double ridge = 0;  ///< gamma of the two below
  spectral::Estimate dimension, log_determinant;
  spectral::Quadrature density;
};
void print_estimates(const Session& session, const SpectrumEstimates& estimates);
void note_estimates(Session& session, const SpectrumEstimates& estimates);
/// /density/node and /density/weight, ascending: tr f(K) is about the sum of weight f(node), the
/// weights adding up to n; /estimates/... with their errors. Collective.
void write_estimates(dist::Hdf5File& file, const SpectrumEstimates& estimates);

}  // namespace mercer::drivers
