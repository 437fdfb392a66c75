#include "mercer/krr/modified_operator.hpp"

#include "blocks.hpp"
#include "mercer/base/error.hpp"

namespace mercer::krr {

ModifiedOperator::ModifiedOperator(const gram::Operator& K, const spectral::TopPairs& pairs,
                                   const msk::ModifiedSpectrum& spectrum)
    : K_(K), pairs_(pairs), ratio_(spectrum.ratio()) {
  if (spectrum.g.size() != pairs.values.size())
    throw InputError("the spectrum map was applied to {} eigenvalues, but there are {} eigenpairs",
                     spectrum.g.size(), pairs.values.size());
  for (double& r : ratio_) r -= 1;
  for (std::size_t i = 0; i < spectrum.g.size(); ++i)
    shift_.push_back(spectrum.g[i] - spectrum.lambda[i]);
}

void ModifiedOperator::add_modes(std::span<const double> weights, MatrixView<const double> R,
                                 MatrixView<double> Y) const {
  const View V = pairs_.vectors.view();
  auto [C] = inner(comm(), Inner{V, R});
  for (Index j = 0; j < C.cols(); ++j)
    for (Index i = 0; i < C.rows(); ++i) C(i, j) *= weights[static_cast<std::size_t>(i)];
  add_times(1, V, C.view(), Y);
}

void ModifiedOperator::apply(MatrixView<const double> V, MatrixView<double> Y) const {
  K_.apply(V, Y);
  add_modes(shift_, V, Y);
}

void ModifiedOperator::apply_s(MatrixView<double> R) const {
  add_modes(ratio_, R, R);
}

void ModifiedOperator::diagonal(std::span<double> d) const {
  K_.diagonal(d);
  const Matrix<double>& V = pairs_.vectors;
  for (Index j = 0; j < V.cols(); ++j)
    for (Index i = 0; i < V.rows(); ++i)
      d[static_cast<std::size_t>(i)] += shift_[static_cast<std::size_t>(j)] * V(i, j) * V(i, j);
}

void ModifiedOperator::columns(std::span<const Index> which, MatrixView<double> out) const {
  K_.columns(which, out);
  const Matrix<double> at = gather_rows(comm(), pairs_.vectors.view(), first_row(), which);
  Matrix<double> C(at.cols(), at.rows());
  for (Index j = 0; j < C.cols(); ++j)
    for (Index i = 0; i < C.rows(); ++i) C(i, j) = shift_[static_cast<std::size_t>(i)] * at(j, i);
  add_times(1, pairs_.vectors.view(), C.view(), out);
}

}  // namespace mercer::krr
