#pragma once

#include <string>
#include <vector>

#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/estimates.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// The first eigenvalues as a table, and what was measured of all of them.
template <class T>
void print_spectrum(const Session& session, const spectral::Eigenpairs<T>& pairs);
/// Into the JSON record.
template <class T>
void note_spectrum(Session& session, const spectral::Eigenpairs<T>& pairs);

/// Eigenvalues and residuals against their number, as an SVG. Collective.
void plot_spectrum(const Session& session, const std::vector<double>& values,
                   const std::vector<double>& residuals, const std::string& path);

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
