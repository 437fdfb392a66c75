#include "panel_exchange.hpp"

#include <algorithm>

namespace mercer::features {
namespace {

/// The entries of `from` that `map`'s process owns, in its local order. Returns how many.
template <class T>
Index take(const T* from, const dist::BlockCyclic1D& map, T* to) {
  const Index size = map.local_size();
  for (Index l = 0; l < size; l += map.nb)
    std::copy_n(from + map.global({l}).value, std::min(map.nb, size - l), to + l);
  return size;
}

}  // namespace

template <class T>
Index PanelExchange<T>::width(int p, int q) const {
  if (grid_.rows() == 1 || grid_.cols() == 1) return columns_;
  return rows_of(p).local_size() + columns_of(q).local_size();
}

template <class T>
void PanelExchange<T>::pack(MatrixView<const T> psi, int p, int q, T* to) const {
  const bool whole = grid_.rows() == 1 || grid_.cols() == 1;
  for (Index j = 0; j < psi.cols; ++j) {
    if (whole) {
      to = std::copy_n(psi.column(j), columns_, to);
    } else {
      to += take(psi.column(j), rows_of(p), to);
      to += take(psi.column(j), columns_of(q), to);
    }
  }
}

template <class T>
void PanelExchange<T>::exchange(MatrixView<const T> psi) {
  const auto& comm = grid_.all();
  if (comm.size() == 1) {
    of_row_ = of_column_ = psi;
    return;
  }
  const int active = grid_.rows() * grid_.cols();
  std::vector<Index> counts(static_cast<std::size_t>(comm.size()), 0);
  Index total = 0;
  for (int r = 0; r < active; ++r)
    total += counts[static_cast<std::size_t>(r)] =
        width(r / grid_.cols(), r % grid_.cols()) * psi.cols;
  send_.resize(static_cast<std::size_t>(total));
  T* to = send_.data();
  for (int r = 0; r < active; ++r) {
    pack(psi, r / grid_.cols(), r % grid_.cols(), to);
    to += counts[static_cast<std::size_t>(r)];
  }
  received_ = comm.all_to_all(std::span<const T>(send_), counts);
  of_row_ = of_column_ = {};
  if (!grid_.active()) return;
  const Index wide = width(grid_.row(), grid_.col());
  const Index rows = std::ssize(received_) / std::max<Index>(1, wide);
  const MatrixView<const T> all{received_.data(), wide, rows, std::max<Index>(1, wide)};
  const auto mine_row = rows_of(grid_.row()), mine_column = columns_of(grid_.col());
  if (grid_.rows() > 1 && grid_.cols() > 1) {
    of_row_ = all.block(0, 0, mine_row.local_size(), rows);
    of_column_ = all.block(mine_row.local_size(), 0, mine_column.local_size(), rows);
    return;
  }
  const auto& part = grid_.rows() == 1 ? mine_column : mine_row;
  subset_ = Matrix<T>(part.local_size(), rows);
  for (Index j = 0; j < rows; ++j) take(all.column(j), part, subset_.column(j));
  const MatrixView<const T> subset = std::as_const(subset_).view();
  of_row_ = grid_.rows() == 1 ? all : subset;
  of_column_ = grid_.rows() == 1 ? subset : all;
}

template <class T>
double PanelExchange<T>::buffer_bytes(dist::GridShape shape, Index columns, Index rows) {
  const auto P = static_cast<double>(shape.rows * shape.cols), s = static_cast<double>(columns),
             b = static_cast<double>(rows);
  if (P == 1) return 0;
  const bool whole = shape.rows == 1 || shape.cols == 1;
  const double wide = whole ? s : s / shape.rows + s / shape.cols;
  return static_cast<double>(sizeof(T)) * b * (2 * wide + (whole ? s / P : 0));
}

template class PanelExchange<double>;
template class PanelExchange<float>;

}  // namespace mercer::features
