#pragma once

#include "mercer/dist/row_block.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/msk/eigenspaces.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::krr {

/// F = (1/n) C alpha, m x c by rows, for a stored C = [k(z_i, x_j)], m x n on a grid over the ranks
/// of alpha (n x c by rows). (Without a stored C, inductive predictions are
/// gram::apply_cross(kernel, Z, X, alpha).) 2 m n c flops. Collective. Throws InputError where the
/// shapes do not fit.
template <class T>
RowBlock<double> predict(const DistMatrix<T>& C, const RowBlock<double>& alpha);

/// The coefficients of R fits side by side, n x (R c) by rows, so that one pass over the kernel
/// predicts for every ridge. `fits`: at least one, of the same shape. Local. Memory: R n c numbers.
RowBlock<double> side_by_side(std::span<const Fit> fits);

/// Transductive predictions of a Modified Spectrum Kernel ([G] sec. 3): with the N = n + m rows of
/// X (training, n x d) and Z (test, m x d), K = k/N over all of them, its eigenpairs (lambda_i,
/// v_i), i <= k, and K_g = K + V diag(g - lambda) V^T,
///     f(Z) = K_g[test, train] (K_g[train, train] + gamma (n/N) I)^-1 Y.
/// The factor n/N keeps gamma on the scale of k/n: with g = identity this is plain ridge
/// regression. Computed as B = (K' + gamma I)^-1 Y with K' = (N/n) K_g[train, train] and f = (N/n)
/// K_g[test, train] B. With k = N this takes V alone; with k < N also the kernel's entries,
/// assembled again for the training rows and evaluated panel by panel for the test rows. K_g[test,
/// train] is never stored.
template <class T>
class Transductive {
 public:
  struct Options {
    double tolerance = msk::kModeTolerance<T>;  ///< modes at or below it stay as they are
    gram::Options gram;
    spectral::Options spectral;  ///< .top: k; -1: N
  };
  struct Predictions {
    RowBlock<double> values;  ///< m x c
    double ridge = 0;
    double residual = 0;  ///< of the n x n system, estimated: see Fit
  };

  /// Assembles K over all N rows, computes its top k pairs and applies g: N^2 (d + element pass)
  /// and the eigensolver's flops; memory: the eigensolver's, then N x k. Borrows kernel, X and Z.
  /// Where k cuts an eigenspace on which g jumps, k is extended (msk::cut_spectrum()), and K is
  /// assembled and decomposed again. Collective. Throws as gram::assemble(),
  /// spectral::eigenpairs() and msk::solve_and_cut().
  Transductive(const kernel::Kernel& kernel, const RowBlock<double>& X, const RowBlock<double>& Z,
               const dist::ProcessGrid& grid, const msk::SpectrumMap& g,
               const Options& options = {});
  /// From pairs of that K, computed before (k = N, or fewer). Borrows kernel, X and Z, not the
  /// pairs. Collective. Throws InputError where pairs or spectrum do not fit the rows.
  Transductive(const kernel::Kernel& kernel, const RowBlock<double>& X, const RowBlock<double>& Z,
               const spectral::Eigenpairs<T>& pairs, const msk::ModifiedSpectrum& spectrum,
               const gram::Options& options = {});

  /// Y: n x c by rows. n^2 k + n^3/3 + 2 n^2 c flops, with k < N also n^2/2 + m n entries of the
  /// kernel; memory: one n x n matrix. Collective. Throws as fit_cholesky().
  Predictions predict(const RowBlock<double>& Y, double ridge) const;

  const msk::ModifiedSpectrum& spectrum() const { return spectrum_; }
  /// The cut that k was extended by, without its spectrum; empty where the pairs were given.
  const msk::Cut& cut() const { return cut_; }

 private:
  const kernel::Kernel& kernel_;
  const RowBlock<double>& X_;
  const RowBlock<double>& Z_;
  gram::Options options_;
  msk::ModifiedSpectrum spectrum_;
  msk::Cut cut_{};
  bool whole_;                 ///< k = N: V holds all of K_g
  std::vector<double> modes_;  ///< (N/n) g_i with k = N, else (N/n)(g_i - lambda_i)
  DistMatrix<T> train_;        ///< rows of V: n x k
  DistMatrix<T> test_;         ///< rows of V diag(modes_): m x k
};

}  // namespace mercer::krr
