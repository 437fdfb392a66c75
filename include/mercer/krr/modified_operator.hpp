#pragma once

#include <span>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/msk/preconditioner.hpp"

namespace mercer::krr {

/// K_g = K S = K + V diag(g(lambda) - lambda) V^T as an operator ([G] Def. 3.1, arXiv 2307.14531),
/// from the S of the top k pairs; the rest of the spectrum stays as it is. K_g is never formed.
/// Borrows K and S. A product with b vectors costs one of K, 4 n k b flops and one sum of k b
/// numbers.
class ModifiedOperator final : public gram::Operator {
 public:
  /// Local. Throws InputError where S does not have K's rows on this rank, RunError where it has no
  /// eigenvalues because it was rebuilt from vectors and coefficients.
  ModifiedOperator(const gram::Operator& K, const msk::Preconditioner<double>& S);
  const comm::Communicator& comm() const override { return K_.comm(); }
  Index size() const override { return K_.size(); }
  void apply(MatrixView<const double> V, MatrixView<double> Y) const override;
  void diagonal(std::span<double> d) const override;
  void columns(std::span<const Index> which, MatrixView<double> out) const override;

  const msk::Preconditioner<double>& S() const { return S_; }
  /// What leave-one-out needs of P = S A^-1 = (K + gamma S^-1)^-1, A = K_g + gamma I, for this
  /// rank's rows. added: (P - A^-1)_ii = sum_j (r_j - 1)/(g_j + gamma) V_ij^2 with r = g/lambda.
  /// system: (K + gamma S^-1)_ii, infinite where some r_j = 0; its inverse is a lower bound of
  /// P_ii.
  struct LeftOut {
    std::vector<double> added, system;
    double norm = 0;  ///< an upper bound of |P|_2
  };
  /// For gamma > 0. Collective (the diagonal of K); 4 n k flops over the ranks.
  LeftOut left_out(double gamma) const;

 private:
  const gram::Operator& K_;
  const msk::Preconditioner<double>& S_;
  std::vector<double> shift_;  ///< g - lambda of S's modes
};

}  // namespace mercer::krr
