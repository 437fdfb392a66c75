#pragma once

#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::spectral {

/// What is kept of K before a solver destroys it, to check the solver's result afterwards.
template <class T>
struct Evidence {
  dist::DistMatrix<T> probes;  ///< W, n x 16 standard normal
  dist::DistMatrix<T> images;  ///< K W
  double trace = 0;
  double norm = 0;  ///< the Frobenius norm
};

/// Draws W and forms K W, 32 n^2 flops. Collective.
template <class T>
Evidence<T> take_evidence(const dist::DistMatrix<T>& K, std::uint64_t seed);

/// |(K W)^T v_i - lambda_i W^T v_i| / (4 scale), an estimate of |K v_i - lambda_i v_i| / scale with
/// a relative standard deviation of about 18 %: the 16 entries of W^T r are normal with variance
/// |r|^2. 64 n k flops. Collective.
template <class T>
std::vector<double> estimated_residuals(const Evidence<T>& evidence,
                                        const dist::DistMatrix<T>& vectors,
                                        std::span<const double> values, double scale);

/// max |V^T V - I|, infinite if there is a NaN; by panels of 512 columns, n k^2 flops. Memory a
/// rank on a p x q grid: a panel of its rows, 512 n/p elements, and 512 k/q. Collective.
template <class T>
double measured_orthogonality(const dist::DistMatrix<T>& V);

/// The largest of `values`, at least 0; infinite if one of them is NaN.
double largest(std::span<const double> values);

}  // namespace mercer::spectral
