#include "mercer/krr/modified_operator.hpp"

#include <algorithm>

#include "blocks.hpp"
#include "mercer/base/error.hpp"

namespace mercer::krr {

ModifiedOperator::ModifiedOperator(const gram::Operator& K, const spectral::TopPairs& pairs,
                                   const msk::ModifiedSpectrum& spectrum)
    : K_(K), pairs_(pairs), ratio_(spectrum.ratio()), g_(spectrum.g) {
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

ModifiedOperator::LeftOut ModifiedOperator::left_out(double gamma) const {
  const Matrix<double>& V = pairs_.vectors;
  const auto rows = static_cast<std::size_t>(V.rows());
  LeftOut result{std::vector<double>(rows, 0.0), std::vector<double>(rows), 1 / gamma};
  K_.diagonal(result.system);
  for (double& d : result.system) d += gamma;
  for (Index j = 0; j < V.cols(); ++j) {
    const auto at = static_cast<std::size_t>(j);
    const double r = 1 + ratio_[at], added = ratio_[at] / (g_[at] + gamma);
    const double system = gamma * (1 / r - 1);
    result.norm = std::max(result.norm, r / (g_[at] + gamma));
    for (Index i = 0; i < V.rows(); ++i) {
      const double square = V(i, j) * V(i, j);
      result.added[static_cast<std::size_t>(i)] += added * square;
      if (square > 0) result.system[static_cast<std::size_t>(i)] += system * square;
    }
  }
  return result;
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
