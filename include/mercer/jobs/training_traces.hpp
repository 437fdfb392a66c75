#pragma once

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "mercer/io/hdf5.hpp"
#include "mercer/spectral/eigenfunctions.hpp"
#include "mercer/train/descend.hpp"

/// What a training records beside its losses: the network's own kernel along the steps, and the
/// residual of the test rows along eigenfunctions; each beside what the theory says of it.
namespace mercer::jobs {

/// What is recorded of the network's own kernel K_t = (1/n) J_t J_t^T and of its parameters.
struct Track {
  bool kernel = false;     ///< |K_t - K_0|, |K_0 - K_inf|, |(K_t - K_0) S|
  bool minimum = false;    ///< lambda_min(K_t), lambda_max(K_t), the bound of [I] (1)
  bool path = false;       ///< sum |w_j - w_(j-1)|
  bool alignment = false;  ///< of K_t with the targets

  bool any() const { return of_kernel() || path; }
  bool of_kernel() const { return kernel || minimum || alignment; }  ///< K_t is assembled
};

/// The numbers of train::Record::tracked, NaN where not asked for. Norms and the alignment are of
/// the trace kernel (the mean over the outputs, n x n), the eigenvalues of the kernel of all rows
/// and outputs, n c x n c, by which the residual of all outputs moves.
enum Tracked : std::size_t {
  kDriftFrobenius,  ///< |K_t - K_0|_F
  kDriftOperator,   ///< |K_t - K_0|_2
  kDriftS,          ///< |(K_t - K_0) S|_F, [G] Lemma 4.2; with S = I as the first
  kSmallest,        ///< lambda_min(K_t)
  kLargest,         ///< lambda_max(K_t)
  kAlignment,       ///< <K_t, Y Y^T>_F/(|K_t|_F |Y Y^T|_F)
  kTrackedNumbers
};

/// K_0, and K_inf = the kernel of infinite width, at the start of a run; NaN where not known.
struct KernelStart {
  static constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  double frobenius = kUnknown, operator_norm = kUnknown;               ///< of K_0
  double limit_frobenius = kUnknown, limit_operator = kUnknown;        ///< of K_inf
  double distance_frobenius = kUnknown, distance_operator = kUnknown;  ///< of K_0 - K_inf
  double limit_smallest = kUnknown;                                    ///< lambda_min(K_inf)
};

/// The bound of [I] (1): L(t) <= L(0) exp(-2 n int lambda_min(K_s) d(eta s)) for the sum of
/// squares L, with the lower of the two lambda_min at the ends of each interval between records
/// (0 where that is negative). It speaks of full batches with S = I, without momentum and weight
/// decay, at rates eta <= 1/(n lambda_max(K_t)).
struct LossBound {
  std::string not_for{};       ///< why it does not speak of this run; empty: it does
  std::vector<double> loss{};  ///< of each record, as train::Record::loss
  Index above = 0;             ///< records whose loss is above it
  Index fast = 0;              ///< records at which eta n lambda_max(K_t) > 1
};
/// What a run lacks to be the one that these bounds speak of: "full batches", say; empty: nothing.
/// Local, pure.
std::string not_plain_descent(const train::Options& descent, bool preconditioned);
/// From the records of a run with Track::minimum of n rows. Local, pure.
LossBound loss_bound(const std::vector<train::Record>& history, const train::Options& descent,
                     bool preconditioned, Index n);

/// Eigenfunctions along which the residual of the test rows is recorded ([B] 2.3, Cor. 3.7).
struct FunctionTrace {
  std::vector<Index> index{};             ///< of the eigenpairs, from 1, ascending
  std::vector<spectral::Space> spaces{};  ///< of functions: places in `index`
  std::vector<double> eigenvalues{};      ///< lambda_i
  /// sigma_i = lambda_i s_i, by which the residual decays: exp(-sigma_i t), t = n sum eta. NaN: K
  /// is not the network's kernel.
  std::vector<double> rates{};
  std::vector<std::size_t> place{};  ///< of each in train::Record::decay
  /// G^-1 of G_ij = (1/m) sum phi_i phi_j over the test rows with targets, k x k; empty: identity.
  /// The coefficients of r_t in these functions are G^-1 <r_t, phi>.
  std::vector<double> inverse_gram{};
  Index n = 0, outputs = 0;
  Index test_rows = 0;  ///< with targets
  double target = 0;    ///< max |f_0 - y| over these rows, over outputs Euclidean: |f*|_inf of [B]
  std::string theorem_not_for{};  ///< not_plain_descent() of this run
  double kernel_difference = 0;   ///< |K - K_0|^2 in L2: mean of (k - k_0)^2 over pairs of rows
  double kernel_difference_error = 0;  ///< its standard error
  Index pair_rows = 0;                 ///< rows whose pairs were taken
};

/// Coefficients G^-1 <r, phi> of a residual in the functions, of its projections; outputs fastest.
/// Local, pure.
std::vector<double> coefficients(const FunctionTrace& trace, const std::vector<double>& projection);

/// The records of a FunctionTrace, each records x spaces, beside linear theory.
struct Projections {
  std::vector<double> time{};  ///< t = n sum eta
  /// |<r_t, phi>| of each space (the norm over its functions and the outputs); what is left of
  /// |<r_0, phi>| by linear theory after the steps, |prod (1 - eta n sigma_i) <r_0, phi_i>|, and
  /// after the flow, |exp(-sigma_i t) <r_0, phi_i>|.
  Matrix<double> measured, predicted, flow;
  /// |P_k (r_t - e^(-T t) r_0)|^2, P_k the projection on the spaces up to this one, e^(-T t) by the
  /// steps as in `predicted`; and the right-hand side of [B] Cor. 3.7, [(1 - e^(-sigma_k t))/
  /// sigma_k]^2 epsilon, with sigma_k the least rate of these spaces. Both r are taken by their
  /// coefficients a = G^-1 <r, phi>: the functions are eigenfunctions of the training rows'
  /// operator, orthonormal only up to n^-1/2 and the test rows' m^-1/2, and without G^-1 a residual
  /// along one of them would count as a deviation along the others.
  Matrix<double> deviation, bound;
  std::vector<double> whole{};        ///< |r_t - e^(-T t) r_0|^2: train::Record::deviation
  std::vector<double> whole_bound{};  ///< t^2 epsilon
  /// The smallest epsilon for which `bound` holds at every record, of the first ten spaces; and the
  /// 4 |f*|^2_inf |K - K_0|^2 of [B] Thm 3.5 that the theory has in its place, NaN where it does not
  /// speak of this run.
  double epsilon = 0, theory = 0;
  Index epsilon_step = 0, epsilon_space = 0;  ///< where it is attained; from 0
};
/// From the records of a run whose rows and functions are those of the trace; numbers are NaN where
/// linear theory has no prediction. O(records x functions x outputs). Local, pure. Throws InputError
/// unless the first record is that of step 0.
Projections projections(const FunctionTrace& trace, const std::vector<train::Record>& history);

}  // namespace mercer::jobs
