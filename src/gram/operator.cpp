#include "mercer/gram/operator.hpp"

#include <algorithm>

namespace mercer::gram {

void Operator::columns(std::span<const Index> which, MatrixView<double> out) const {
  constexpr std::size_t kBlock = 64;
  for (std::size_t first = 0; first < which.size(); first += kBlock) {
    const auto now = which.subspan(first, std::min(kBlock, which.size() - first));
    Matrix<double> E(local_rows(), std::ssize(now), 0.0);
    for (Index c = 0; c < E.cols(); ++c) {
      const Index i = now[static_cast<std::size_t>(c)] - first_row();
      if (i >= 0 && i < E.rows()) E(i, c) = 1;
    }
    apply(E.view(), out.block(0, static_cast<Index>(first), out.rows, E.cols()));
  }
}

}  // namespace mercer::gram
