#include "mercer/features/normal_equations.hpp"

#include <algorithm>
#include <type_traits>

#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "panel_exchange.hpp"

namespace mercer::features {
namespace {

using blas::Trans;
constexpr Index kGroup = 256;       // local columns of A that share a GEMM
constexpr Index kFlushRows = 8192;  // rows that are summed in float

}  // namespace

template <class T>
struct Accumulator<T>::State {
  PanelExchange<T> exchange;
  Matrix<T> sums{};  ///< of T = float: not yet in A
  Index unflushed = 0;
  Matrix<T> y{}, cross{};
};

template <class T>
Accumulator<T>::Accumulator(const dist::ProcessGrid& grid, Index columns, Index outputs, Index nb)
    : A_(comm::together(grid.all(),
                        [&] { return dist::DistMatrix<double>(grid, columns, columns, nb); })),
      columns_(columns),
      outputs_(outputs) {
  comm::together(grid.all(), [&] {
    own_.assign(static_cast<std::size_t>((columns + 1) * outputs), 0.0);
    state_ = std::make_unique<State>(State{.exchange = PanelExchange<T>(grid, columns, nb)});
    if constexpr (std::is_same_v<T, float>)
      state_->sums = Matrix<T>(A_.local_rows(), A_.local_cols(), T{0});
    state_->cross = Matrix<T>(outputs, columns);
  });
  A_.fill([](Index, Index) { return 0.0; });
}
template <class T>
Accumulator<T>::~Accumulator() = default;

/// The lower triangle of this rank's part of A += rows columns^T. Columns are taken in groups:
/// below the group's last row one GEMM, in the triangle above it one for each block column.
template <class T>
void Accumulator<T>::update(MatrixView<const T> rows, MatrixView<const T> columns) {
  MatrixView<T> A;
  if constexpr (std::is_same_v<T, double>)
    A = A_.local();
  else
    A = state_->sums.view();
  const auto& row_map = A_.row_map();
  const auto& col_map = A_.col_map();
  const Index nb = A_.nb(), group = std::max(nb, kGroup / nb * nb);
  const auto add = [&](Index i, Index j, Index m, Index width) {
    if (m <= 0 || width <= 0) return;
    blas::gemm<T>(Trans::no, Trans::yes, 1, rows.block(i, 0, m, rows.cols),
                  columns.block(j, 0, width, columns.cols), 1, A.block(i, j, m, width));
  };
  for (Index j = 0; j < A.cols; j += group) {
    const Index width = std::min(group, A.cols - j);
    const Index below = row_map.lower_bound({col_map.global({j + width - 1}).value + 1}).value;
    add(below, j, A.rows - below, width);
    for (Index block = j; block < j + width; block += nb) {
      const Index first = row_map.lower_bound(col_map.global({block})).value;
      add(first, block, below - first, std::min(nb, j + width - block));
    }
  }
}

template <class T>
void Accumulator<T>::add(MatrixView<const T> psi, MatrixView<const double> y) {
  auto& state = *state_;
  state.exchange.exchange(psi);
  const auto& comm = A_.grid().all();
  const Index panel = comm.all_reduce(psi.cols, comm::Op::sum);
  if (A_.grid().active() && panel > 0) update(state.exchange.of_row(), state.exchange.of_column());
  rows_ += panel;
  state.unflushed += panel;
  if (state.unflushed >= kFlushRows) flush();
  if (psi.cols == 0 || outputs_ == 0) return;
  if (state.y.rows() != y.rows || state.y.cols() != y.cols) state.y = Matrix<T>(y.rows, y.cols);
  for (Index j = 0; j < y.cols; ++j)
    for (Index o = 0; o < y.rows; ++o) {
      state.y(o, j) = static_cast<T>(y(o, j));
      own_[static_cast<std::size_t>(columns_ * outputs_ + o)] += y(o, j) * y(o, j);
    }
  const Matrix<T>& targets = state.y;
  blas::gemm<T>(Trans::no, Trans::yes, 1, targets.view(), psi, 0, state.cross.view());
  for (Index i = 0; i < state.cross.size(); ++i)
    own_[static_cast<std::size_t>(i)] += static_cast<double>(state.cross.data()[i]);
}

template <class T>
void Accumulator<T>::flush() {
  state_->unflushed = 0;
  if constexpr (std::is_same_v<T, float>) {
    auto& sums = state_->sums;
    for (Index i = 0; i < sums.size(); ++i) {
      A_.data()[i] += static_cast<double>(sums.data()[i]);
      sums.data()[i] = 0;
    }
  }
}

template <class T>
NormalEquations Accumulator<T>::finish() && {
  flush();
  state_.reset();
  const auto& comm = A_.grid().all();
  comm.all_reduce(std::span<double>(own_), comm::Op::sum);
  const double n = static_cast<double>(std::max<Index>(1, rows_));
  for (Index j = 0; j < A_.local_cols(); ++j)
    for (Index i = 0; i < A_.local_rows(); ++i) A_.local()(i, j) /= n;
  NormalEquations result{.A = std::move(A_), .B = Matrix<double>(columns_, outputs_), .n = rows_};
  for (Index i = 0; i < columns_; ++i)
    for (Index o = 0; o < outputs_; ++o)
      result.B(i, o) = own_[static_cast<std::size_t>(i * outputs_ + o)] / n;
  for (Index o = 0; o < outputs_; ++o)
    result.y_square.push_back(own_[static_cast<std::size_t>(columns_ * outputs_ + o)] / n);
  return result;
}

template <class T>
Cost Accumulator<T>::cost(dist::GridShape shape, Index columns, Index outputs, Index rows) {
  const double P = shape.rows * shape.cols, s = static_cast<double>(columns),
               b = static_cast<double>(rows), c = static_cast<double>(outputs);
  const double flops = s * s * b, buffers = PanelExchange<T>::buffer_bytes(shape, columns, rows);
  Cost cost;
  cost.bytes = 8 * s * s / P + buffers + 8 * s * c;
  cost.flops = flops + 2 * s * b * c;
  (sizeof(T) == 8 ? cost.gemm : cost.gemm_single) = cost.flops / P;
  if (sizeof(T) == 4) cost.bytes += 4 * s * s / P;
  cost.copied = 2 * buffers;
  cost.sent = P > 1 ? buffers * (1 - 1 / P) / 2 : 0;
  return cost;
}

template class Accumulator<double>;
template class Accumulator<float>;

}  // namespace mercer::features
