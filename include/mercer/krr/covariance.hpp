#pragma once

#include <vector>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/krr/gradient_flow.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::krr {

using dist::DistMatrix;

/// Covariances between the predictions for m test rows Z of networks of infinite width after
/// training on n rows X for a time t, the same for each output (Lee et al. 2019, arXiv 1902.06720,
/// sec. 2.3). k is the NNGP kernel, T the NTK, neither divided by n; phi(x) =
/// GradientFlow::filter() of the eigenvalues, E = rest(). Results are m x m on the grid, symmetric
/// to rounding. All matrices are on one grid with one block size. All calls are collective. They
/// throw InputError where shapes do not fit, for pairs that are not all, a time that is not
/// positive and a negative ridge; RunError at t = infinity unless every lambda_i + gamma > 0.

/// Of networks of which the readout alone is trained, from `pairs`, all of k/n:
///     k(Z, Z) - (1/n) k(Z, X) V phi_2t V^T k(X, Z),
/// at t = infinity the posterior of the Gaussian process. 2 m n^2 + 2 m^2 n flops; memory: two m x
/// n matrices.
template <class T>
DistMatrix<T> readout_covariance(const spectral::Eigenpairs<T>& pairs, const DistMatrix<T>& k_ZX,
                                 DistMatrix<T>&& k_ZZ, const GradientFlow& flow);

/// Of networks all of whose layers are trained, over their initialisations: with P = (1/n) T(Z, X)
/// V phi_t V^T
///     k(Z, Z) + P k(X, X) P^T - P k(X, Z) - k(Z, X) P^T.
template <class T>
class TrainedCovariance {
 public:
  /// `pairs`: all of T/n. 4 n^3 + 4 m n^2 flops. Memory kept: n^2 + 2 m n numbers; while it
  /// runs n^2 more.
  TrainedCovariance(const spectral::Eigenpairs<T>& pairs, const DistMatrix<T>& T_ZX,
                    const DistMatrix<T>& k_XX, const DistMatrix<T>& k_ZX);
  /// 2 m n^2 + 4 m^2 n flops; memory: two m x n matrices and the result.
  DistMatrix<T> at(const DistMatrix<T>& k_ZZ, const GradientFlow& flow) const;

 private:
  std::vector<double> values_;
  DistMatrix<T> T_modes_, k_modes_;  ///< (1/n) T(Z, X) V and k(Z, X) V, m x n
  DistMatrix<T> G_;                  ///< V^T k(X, X) V, n x n
};

}  // namespace mercer::krr
