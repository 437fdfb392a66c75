#pragma once

#include <limits>

#include "mercer/jobs/pairs.hpp"

// Shared by the files of the spectrum job: options, strategy, direct and iterative solver, start.

namespace mercer::jobs {

/// The least residual of vectors that are stored in single precision.
inline constexpr double kSingle = std::numeric_limits<float>::epsilon();

/// The tolerance of the options, or that of jobs which give none. Local.
double asked_tolerance(const SpectrumOptions& options);

/// Writes the sizes that were chosen by the available memory, so that a resumed run has the same.
/// Collective.
void write_sizes(io::Hdf5File& file, const SpectrumStrategy& strategy);

/// Of the operator by which block Krylov's exact residuals of k pairs are measured: nothing is
/// stored. Local.
gram::OperatorOptions check_options(const SpectrumStrategy& strategy, Index k);
/// The largest residual that a run of this plan accepts. Local.
Accepted accepted(const SpectrumPlan& plan);
/// The estimates that the plan asks for. Phase: estimates. Collective.
SpectrumEstimates estimate(const SpectrumPlan& plan, const gram::Operator& K, Monitor& monitor);

/// The vectors from which the plan starts block Krylov: this rank's rows of the eigenvectors of
/// earlier pairs, with that of lambda_(k+1) where it is known, because krylov() converges it too.
/// The entries of rows added since then are zeros. Collective. Throws InputError where the vectors
/// have more than n rows, or are distributed over other ranks.
Matrix<double> starting_vectors(const SpectrumPlan& plan, const comm::Communicator& comm);

/// The leverage scores that the plan asks for, from top pairs and products with K. Phase: leverage.
/// Collective.
msk::LeverageScores leverage_of(const SpectrumPlan& plan, const spectral::TopPairs& pairs,
                                const gram::Operator& K, Monitor& monitor);
/// The same from pairs on the grid: exact ones from all n, else with K assembled again. Collective.
template <class T>
msk::LeverageScores leverage_of(const SpectrumPlan& plan, const spectral::Eigenpairs<T>& pairs,
                                const std::function<dist::DistMatrix<T>()>& assemble,
                                Monitor& monitor);

/// rows -> K -> eigenpairs by a direct solver.
template <class T>
Spectrum<T> solve_directly(const SpectrumPlan& plan, const gram::Source& kernel,
                           const data::Dataset& rows, const dist::ProcessGrid& grid,
                           Monitor& monitor);
/// rows -> K as an operator -> eigenpairs by block Krylov.
template <class T>
Spectrum<T> solve_by_products(const SpectrumPlan& plan, const gram::Source& kernel,
                              const data::Dataset& rows, const dist::ProcessGrid& grid,
                              Monitor& monitor);

}  // namespace mercer::jobs
