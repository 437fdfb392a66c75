#include "mercer/train/directions.hpp"

#include <cmath>

#include "mercer/base/error.hpp"
#include "modes.hpp"

namespace mercer::train {

template <class T>
Directions<T>::Directions(const spectral::Eigenpairs<double>& pairs, std::span<const Index> which,
                          std::span<const double> ratio)
    : which_(which.begin(), which.end()) {
  if (!ratio.empty() && static_cast<Index>(ratio.size()) < pairs.k())
    throw RunError("{} eigenvalues of S for {} eigenpairs of K", ratio.size(), pairs.k());
  std::vector<Index> columns;
  for (const Index i : which) {
    if (i < 1 || i > pairs.k())
      throw InputError("direction {} is wanted, but eigenpairs 1 to {} are there", i, pairs.k());
    if (!columns.empty() && i <= columns.back() + 1)
      throw InputError("directions must ascend: {} after {}", i, columns.back() + 1);
    columns.push_back(i - 1);
    const auto at = static_cast<std::size_t>(i - 1);
    const double s = ratio.empty() ? 1 : ratio[at];
    rates_.push_back(static_cast<double>(pairs.n()) * pairs.values[at] * s);
  }
  if (!empty()) V_ = columns_by_rows<T>(pairs.vectors, columns);
}

template <class T>
std::vector<double> Directions<T>::measure(const comm::Communicator& comm,
                                           MatrixView<const T> R) const {
  if (empty()) return {};
  const auto count = static_cast<Index>(which_.size());
  Matrix<double> P(R.rows, count);
  RawVector<T> scratch(static_cast<std::size_t>(P.size()));
  project_rows(R, V_.view(), scratch.data(), P.view());
  comm.all_reduce(std::span<double>(P.data(), static_cast<std::size_t>(P.size())), comm::Op::sum);
  std::vector<double> norms;
  for (Index i = 0; i < count; ++i) {
    double square = 0;
    for (Index a = 0; a < R.rows; ++a) square += P(a, i) * P(a, i);
    norms.push_back(std::sqrt(square));
  }
  return norms;
}

template class Directions<double>;
template class Directions<float>;

}  // namespace mercer::train
