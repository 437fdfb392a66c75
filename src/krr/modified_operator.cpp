#include "mercer/krr/modified_operator.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::krr {

using blas::Trans;

ModifiedOperator::ModifiedOperator(const gram::Operator& K, const msk::Preconditioner<double>& S)
    : K_(K), S_(S) {
  if (!S.identity() && S.vectors().cols() != K.local_rows())
    throw InputError("S has {} rows on this rank, K {}", S.vectors().cols(), K.local_rows());
  if (S.eigenvalues().size() != S.coefficients().size())
    throw RunError("S has {} coefficients and {} eigenvalues", S.coefficients().size(),
                   S.eigenvalues().size());
  for (std::size_t i = 0; i < S.eigenvalues().size(); ++i)
    shift_.push_back(S.coefficients()[i] * S.eigenvalues()[i]);
}

void ModifiedOperator::apply(MatrixView<const double> V, MatrixView<double> Y) const {
  K_.apply(V, Y);
  S_.add_modes(comm(), shift_, V, Y);
}

ModifiedOperator::LeftOut ModifiedOperator::left_out(double gamma) const {
  const Matrix<double>& V = S_.vectors();  // k x m
  const auto rows = static_cast<std::size_t>(K_.local_rows());
  const auto modes = static_cast<std::size_t>(S_.k());
  LeftOut result{std::vector<double>(rows, 0.0), std::vector<double>(rows), 1 / gamma};
  K_.diagonal(result.system);
  for (double& d : result.system) d += gamma;
  std::vector<double> added(modes), system(modes);
  for (std::size_t j = 0; j < modes; ++j) {
    const double r = 1 + S_.coefficients()[j], g = r * S_.eigenvalues()[j];
    added[j] = S_.coefficients()[j] / (g + gamma);
    system[j] = gamma * (1 / r - 1);
    result.norm = std::max(result.norm, r / (g + gamma));
  }
  for (std::size_t i = 0; i < rows && modes > 0; ++i) {
    const double* v = V.column(static_cast<Index>(i));
    for (std::size_t j = 0; j < modes; ++j) {
      const double square = v[j] * v[j];
      result.added[i] += added[j] * square;
      if (square > 0) result.system[i] += system[j] * square;
    }
  }
  return result;
}

void ModifiedOperator::diagonal(std::span<double> d) const {
  K_.diagonal(d);
  if (S_.identity()) return;
  for (std::size_t i = 0; i < d.size(); ++i) {
    const double* v = S_.vectors().column(static_cast<Index>(i));
    for (std::size_t j = 0; j < shift_.size(); ++j) d[i] += shift_[j] * v[j] * v[j];
  }
}

void ModifiedOperator::columns(std::span<const Index> which, MatrixView<double> out) const {
  K_.columns(which, out);
  if (S_.identity()) return;
  const Matrix<double>& V = S_.vectors();
  Matrix<double> C(S_.k(), std::ssize(which), 0.0);  // rows `which` of V, as columns
  for (Index j = 0; j < C.cols(); ++j) {
    const Index local = which[static_cast<std::size_t>(j)] - first_row();
    if (local >= 0 && local < V.cols()) std::copy_n(V.column(local), S_.k(), C.column(j));
  }
  comm().all_reduce(std::span<double>(C.data(), static_cast<std::size_t>(C.size())), comm::Op::sum);
  for (Index j = 0; j < C.cols(); ++j)
    for (Index i = 0; i < S_.k(); ++i) C(i, j) *= shift_[static_cast<std::size_t>(i)];
  if (V.cols() > 0) blas::gemm<double>(Trans::yes, Trans::no, 1.0, V.view(), C.view(), 1.0, out);
}

}  // namespace mercer::krr
