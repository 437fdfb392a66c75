#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/started_sums.hpp"
#include "mercer/net/network.hpp"

namespace mercer::train {

/// What bounds the rate of stochastic steps on sums over B rows, with a preconditioner P (below).
///
/// Linear model: e = w - w* obeys e <- e - eta P J_B^T J_B e. With A = J P^(1/2), e' = P^(-1/2) e
/// and H = A^T A/n, whose largest eigenvalue is `tail`, the mean over random batches is
///
///     E|e'|^2 <- |e'|^2 - 2 eta B e'.(H e') + eta^2 e'.(M e'),
///     M = B E[A_x^T A_x A_x^T A_x] + B (B - 1) H^2  <=  B (beta + (B - 1) tail) H,
///
/// because A_x A_x^T <= beta for every row x (for c outputs a c x c matrix, taken by its diagonal).
/// So |e'| decreases on average at every rate below twice rate(B), fastest at rate(B): Ma and
/// Belkin, "Kernel machines that adapt to GPUs for effective large batch training" (2019).
/// `beta` alone bounds single rows, `tail` the mean: with B = 1 the rate is 1/beta, and for large B
/// it tends to that of a full batch, 1/(n tail). Momentum M makes the noise that of the rate
/// eta/(1 - M): with it the automatic rate is (1 - M) rate(B). (beta is at least sum_(i<=k) g_i,
/// the mean of v_ji^2 n g_i over j: at B = n the rate can be half of 1/(n tail).)
struct BatchBound {
  double beta = 0;  ///< max over rows and outputs of j.(P j), j their row of J
  double tail = 0;  ///< max(max_(i<=k) g_i, lambda_(k+1)), of K_0 = J J^T/n; 0: not known

  bool known() const { return tail > 0; }
  double rate(Index B) const { return 1 / (beta + static_cast<double>(B - 1) * tail); }
};

/// S on the parameters, P = I - sum_(i<=k) (1 - g_i/lambda_i) psi_i psi_i^T with psi_i =
/// J^T v_i/sqrt(n lambda_i), (lambda_i, v_i) the top pairs of K_0 = J J^T/n and J the n c x p
/// Jacobian of all rows and outputs at w_0: [G] (14) for the batches of EigenPro (Ma and Belkin,
/// "Diving into the shallows", 2017). The psi_i are orthonormal and P J^T = J^T S, so that on all
/// rows P J^T r is the step J^T S r of [G] Algorithm 1; on a batch it needs no residual of other
/// rows, and damps the batch's noise in the top directions.
///
/// A rank stores the entries of Psi that belong to the parts of the gradient that it sums
/// (own_parts()), one column for each psi_i: k p/P numbers of T. Where both copies of an
/// antisymmetric network are equal, psi = (psi', -psi')/sqrt(2), and psi' alone is stored: half.
template <class T>
class ParameterPreconditioner {
 public:
  /// Which entries of the gradient a rank has.
  struct Layout {
    std::vector<comm::Part> parts{};  ///< own_parts(); where mirrored, those of the first copy
    Index size = 0;                   ///< of a stored psi over all ranks: p, or p/2 where mirrored
    bool mirrored = false;

    Index entries() const;  ///< of this rank
  };

  ParameterPreconditioner() = default;  ///< the identity, with no bound
  explicit ParameterPreconditioner(const BatchBound& bound) : bound_(bound) {}  ///< the identity
  /// Psi: layout.entries() x k, where mirrored that of the psi'. `coefficients`: g_i/lambda_i - 1.
  /// Local. Throws RunError where the sizes differ.
  ParameterPreconditioner(Layout layout, Matrix<T> Psi, std::vector<double> coefficients,
                          const BatchBound& bound);

  Index k() const { return static_cast<Index>(c_.size()); }
  bool identity() const { return c_.empty(); }
  const BatchBound& bound() const { return bound_; }
  const Layout& layout() const { return layout_; }
  const Matrix<T>& Psi() const { return Psi_; }
  const std::vector<double>& coefficients() const { return c_; }

  /// g <- P g, on this rank's parts of g (p entries), which hold the sums over the ranks; other
  /// entries are neither read nor written. 4 k entries() flops; Psi is read twice, and the sum of k
  /// numbers over the ranks lies in between. Allocates nothing. Collective.
  void apply(const comm::Communicator& comm, std::span<T> g) const;

  /// psi_i (layout().size entries) on every rank. Collective.
  std::vector<T> gathered(const comm::Communicator& comm, Index i) const;

 private:
  void take(std::span<const T> g) const;  // own entries of g -> x_
  void put(std::span<T> g) const;         // x_ is added to own entries of g

  Layout layout_;
  Matrix<T> Psi_;
  std::vector<double> c_;
  BatchBound bound_;
  mutable RawVector<T> x_, small_;
  mutable std::vector<double> products_;
};

/// The layout for `network` over the ranks of `comm`. Local.
template <class T>
typename ParameterPreconditioner<T>::Layout parameter_layout(const comm::Communicator& comm,
                                                             const net::Network& network,
                                                             bool mirrored);
/// Whether `network` has two copies whose parameters are equal to the bit. Local.
template <class T>
bool equal_copies(const net::Network& network, std::span<const T> w);
/// layout().entries() of the rank that has most, from numbers alone: for memory plans. Pure.
double most_entries(const net::Network& network, bool mirrored, int ranks);

/// The rows of J whose top pairs are known, as a rank holds them.
template <class T>
struct PairRows {
  Matrix<T> X;  ///< d x m
  Matrix<T> V;  ///< (c m) x k: v_i of these rows' outputs, 0 where another rank has them
  std::vector<double> norm = {};  ///< |J^T v_i| = sqrt(n lambda_i)
};

/// Rows at which beta is measured; that of the pairs' own rows is BatchBound::beta of the caller.
/// None: d x 0 and c x 0.
template <class T>
struct BoundRows {
  Matrix<T> X;              ///< d x q
  Matrix<double> diagonal;  ///< c x q: |j|^2 of each row of J
};

/// P from the pairs, k backward passes over their rows, one after the other, each with a sum of p
/// numbers over the ranks; the psi_i are made orthonormal again (their errors are those of the
/// pairs and of T) by the Cholesky factor of their Gram matrix. `beta` is the maximum of bound.beta
/// and of the rows `more`, k forward passes in forward mode. Memory: evaluators of both sets of
/// rows within `memory` bytes, p numbers. Throws InputError where sizes do not agree, RunError
/// where the psi_i are not finite or not independent. Collective.
template <class T>
ParameterPreconditioner<T> parameter_preconditioner(const comm::Communicator& comm,
                                                    const net::Network& network,
                                                    std::span<const T> w, const PairRows<T>& rows,
                                                    std::vector<double> coefficients,
                                                    BatchBound bound, const BoundRows<T>& more,
                                                    double memory = 1e9);

}  // namespace mercer::train
