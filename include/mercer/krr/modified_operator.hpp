#pragma once

#include <span>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::krr {

/// K_g = K S = K + V diag(g(lambda) - lambda) V^T as an operator, from the top k pairs; the rest of
/// the spectrum stays as it is; never formed ([G] Def. 3.1, arXiv 2307.14531). Borrows K and pairs.
/// A product costs one of K and 4 n k b flops, and one sum of k b numbers.
class ModifiedOperator final : public gram::Operator {
 public:
  /// Throws InputError when `spectrum` is not one of these pairs' length. Local.
  ModifiedOperator(const gram::Operator& K, const spectral::TopPairs& pairs,
                   const msk::ModifiedSpectrum& spectrum);
  const comm::Communicator& comm() const override { return K_.comm(); }
  Index size() const override { return K_.size(); }
  void apply(MatrixView<const double> V, MatrixView<double> Y) const override;
  void diagonal(std::span<double> d) const override;
  void columns(std::span<const Index> which, MatrixView<double> out) const override;

  /// R <- S R, this rank's rows: alpha = S B ([G] eq. 14). Collective.
  void apply_s(MatrixView<double> R) const;

 private:
  /// Y <- Y + V diag(weights) V^T R.
  void add_modes(std::span<const double> weights, MatrixView<const double> R,
                 MatrixView<double> Y) const;
  const gram::Operator& K_;
  const spectral::TopPairs& pairs_;
  std::vector<double> shift_, ratio_;  ///< g - lambda; g/lambda - 1
};

}  // namespace mercer::krr
