#pragma once

#include <memory>
#include <span>
#include <vector>

#include "mercer/features/ridge.hpp"

namespace mercer::features {

/// Leave-one-out errors of ridge regression with features for a list of ridges, by one more pass
/// over the rows. With t_i = U^T psi_i and r = g/lambda,
///
///     f_i = beta^T psi_i,   H_ii = (1/n) sum_j t_ij^2 r_j/(g_j + gamma),
///     e_i = y_i - f_i + H_ii alpha_i/P_ii,   alpha = P Y,   P = (Psi Psi^T + gamma S^-1)^-1,
///
/// as krr::SpectralPath has them with Psi Psi^T for K. With q_j = (r_j + gamma (1 - r_j)/lambda_j)/
/// (g_j + gamma), which is 1/(lambda_j + gamma) for plain ridge regression,
///
///     gamma P_ii = 1 - (1/n) sum_j q_j t_ij^2,   gamma alpha_i = y_i - sum_j q_j t_ij (U^T B)_j.
///
/// For plain ridge regression e_i is exactly the error of refitting without row i, with the ridge
/// gamma n/(n - 1); for another g an estimate, because S stays that of all rows.
/// T: the precision of the features; with float an error of about 1e-7/(1 - H_ii) of e_i.
template <class T>
class LeaveOneOut {
 public:
  /// Borrows `path`. Copies U so that each rank has whole columns: s^2/P numbers a rank, and 2 s c
  /// numbers a ridge on every rank. Collective. Throws InputError for ridges as FeaturePath::fit().
  LeaveOneOut(const FeaturePath& path, std::span<const double> ridges);
  ~LeaveOneOut();

  /// This rank's m rows, as Accumulator::add(). 2 s^2 flops a row of all ranks, 4 s c a ridge; all
  /// features are sent to every rank. Collective.
  void add(MatrixView<const T> psi, MatrixView<const double> y);
  /// The root mean square of e over the rows added, for each ridge one number an output.
  /// Collective.
  std::vector<std::vector<double>> rmse_by_output() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mercer::features
