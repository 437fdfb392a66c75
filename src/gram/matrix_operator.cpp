#include <algorithm>
#include <utility>
#include <vector>

#include "entries.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "product_loops.hpp"
#include "products.hpp"
#include "row_exchange.hpp"

namespace mercer::gram {
namespace {

using dist::BlockCyclic1D;
constexpr Index kRows = 504;

/// The global indices of process p, as ranges.
std::vector<Range> ranges(const BlockCyclic1D& map, int p) {
  std::vector<Range> result;
  for (Index begin = p * map.nb; begin < map.n; begin += map.nb * map.nprocs)
    result.push_back({begin, std::min(map.n, begin + map.nb)});
  return result;
}

}  // namespace

template <class T>
MatrixOperator<T>::MatrixOperator(const DistMatrix<T>& K, std::function<bool()> interrupted)
    : K_(K), interrupted_(std::move(interrupted)) {
  if (K.rows() != K.cols())
    throw InputError("an operator needs a square matrix, this one is {} x {}", K.rows(), K.cols());
  const ProcessGrid& grid = K.grid();
  const int active = grid.rows() * grid.cols();
  const auto of = [&](const BlockCyclic1D& map, auto&& coordinate) {
    return std::make_shared<const RowExchange>(grid.all(), K.rows(), [&](int rank) {
      return rank < active ? ranges(map, coordinate(rank)) : std::vector<Range>{};
    });
  };
  of_rows_ = of(K.row_map(), [&](int rank) { return rank / grid.cols(); });
  of_cols_ = of(K.col_map(), [&](int rank) { return rank % grid.cols(); });
}

template <class T>
void MatrixOperator<T>::apply(MatrixView<const double> V, MatrixView<double> Y) const {
  const Index b = V.cols;
  if (b == 0) return;
  Matrix<double> W, Z;
  RawVector<double> buffer, piece;
  comm::together(comm(), [&] {
    W = Matrix<double>(b, of_cols_->rows() + ceil_div(kBeyond, b), 0.0);
    piece.resize(static_cast<std::size_t>(kRows * kPiece));
    Z = Matrix<double>(b, of_rows_->rows(), 0.0);
    buffer.resize(
        static_cast<std::size_t>(b * std::max(of_cols_->requests(), of_rows_->requests())));
  });
  of_cols_->gather(V, buffer.data(), W.view());
  const MatrixView<const T> K = K_.local();
  comm::together(comm(), [&] {
    for (Index i = 0; i < K.rows; i += kRows) {  // the sums of kRows rows stay in the cache
      give_up_if(interrupted_);
      multiply(K.block(i, 0, std::min(kRows, K.rows - i), K.cols), b, nullptr, W.data(),
               Z.column(i), nullptr, piece.data());
    }
  });
  of_rows_->add(Z.view(), buffer.data(), Y);
}

template <class T>
void MatrixOperator<T>::columns(std::span<const Index> which, MatrixView<double> out) const {
  // Each entry comes from the one rank that holds it: the others add zeros.
  const Index p = std::ssize(which);
  if (p == 0) return;
  Matrix<double> Z;
  RawVector<double> buffer;
  comm::together(comm(), [&] {
    Z = Matrix<double>(p, of_rows_->rows(), 0.0);
    buffer.resize(static_cast<std::size_t>(p * of_rows_->requests()));
  });
  for (Index c = 0; c < p; ++c) {
    const GlobalIndex j{which[static_cast<std::size_t>(c)]};
    if (!K_.grid().active() || !K_.col_map().mine(j)) continue;
    const T* column = K_.local().column(K_.col_map().local(j).value);
    for (Index i = 0; i < Z.cols(); ++i) Z(c, i) = column[i];
  }
  of_rows_->add(Z.view(), buffer.data(), out);
}

template <class T>
void MatrixOperator<T>::diagonal(std::span<double> d) const {
  Matrix<double> Z(1, of_rows_->rows(), 0.0);
  for (Index i = 0; i < Z.cols(); ++i) {
    const GlobalIndex g = K_.row_map().global({i});
    if (K_.col_map().mine(g)) Z(0, i) = K_(LocalIndex{i}, K_.col_map().local(g));
  }
  RawVector<double> buffer(static_cast<std::size_t>(of_rows_->requests()));
  of_rows_->add(Z.view(), buffer.data(),
                {d.data(), std::ssize(d), 1, std::max<Index>(1, std::ssize(d))});
}

template class MatrixOperator<double>;
template class MatrixOperator<float>;

}  // namespace mercer::gram
