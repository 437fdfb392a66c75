#include "mercer/dist/redistribute.hpp"

#include <algorithm>
#include <vector>

#include "blocks.hpp"
#include "mercer/base/error.hpp"

namespace mercer::dist {
namespace {

/// Consecutive global indices that lie consecutively on one process.
struct Run {
  Index global = 0;
  Index local = 0;
  Index count = 0;
};
using Runs = std::vector<Run>;

/// Indices that two processes have in common: `count` of them, at `from` on the one and at `to` on
/// the other.
struct Piece {
  Index from = 0;
  Index to = 0;
  Index count = 0;
};

/// The distribution of one dimension: the runs of every process coordinate.
using Axis = std::vector<Runs>;

Axis axis(const BlockCyclic1D& map) {
  Axis runs(static_cast<std::size_t>(map.nprocs));
  const Index block = map.nprocs == 1 ? std::max<Index>(map.n, 1) : map.nb;
  for (Index begin = 0; begin < map.n; begin += block)
    runs[static_cast<std::size_t>(map.owner({begin}))].push_back(
        {begin, map.local({begin}).value, std::min(block, map.n - begin)});
  return runs;
}

/// Of a row block that holds rows `first`, first + 1, ... of the whole matrix.
Axis axis(const RowPartition& rows, Index first) {
  Axis runs(static_cast<std::size_t>(rows.nprocs));
  for (int r = 0; r < rows.nprocs; ++r)
    if (rows.size(r) > 0)
      runs[static_cast<std::size_t>(r)].push_back({first + rows.begin(r), 0, rows.size(r)});
  return runs;
}

/// The indices of [begin, end) that both own, ascending: the same order on both sides of a message.
std::vector<Piece> common(const Runs& from, const Runs& to, Index begin, Index end) {
  std::vector<Piece> pieces;
  const auto ends_before = [](const Run& run, Index i) { return run.global + run.count <= i; };
  auto a = std::lower_bound(from.begin(), from.end(), begin, ends_before);
  auto b = std::lower_bound(to.begin(), to.end(), begin, ends_before);
  while (a != from.end() && b != to.end() && a->global < end && b->global < end) {
    const Index first = std::max({a->global, b->global, begin});
    const Index a_end = a->global + a->count, b_end = b->global + b->count;
    const Index last = std::min({a_end, b_end, end});
    if (first < last)
      pieces.push_back({first - a->global + a->local, first - b->global + b->local, last - first});
    if (a_end <= b_end) ++a;
    if (b_end <= a_end) ++b;
  }
  return pieces;
}

Index total(const std::vector<Piece>& pieces) {
  Index sum = 0;
  for (const Piece& piece : pieces) sum += piece.count;
  return sum;
}

/// The source or the target of a move: its two axes, where rank = process row * process columns +
/// process column, and its local elements, (i, j) at data[i + j ld], or data[j + i ld] if
/// `by_rows`.
template <class T>
struct Layout {
  Axis rows, cols;
  T* data = nullptr;
  Index ld = 1;
  bool by_rows = false;

  int ranks() const { return static_cast<int>(rows.size() * cols.size()); }
  const Runs& rows_of(int rank) const { return rows[static_cast<std::size_t>(rank) / cols.size()]; }
  const Runs& cols_of(int rank) const { return cols[static_cast<std::size_t>(rank) % cols.size()]; }
  T* at(Index i, Index j) const { return by_rows ? data + j + i * ld : data + i + j * ld; }
};

template <class T>
Layout<const T> layout(const DistMatrix<T>& A) {
  return {axis(A.row_map()), axis(A.col_map()), A.data(), A.ld(), false};
}
template <class T>
Layout<T> layout(DistMatrix<T>& A) {
  return {axis(A.row_map()), axis(A.col_map()), A.data(), A.ld(), false};
}
template <class T>
Layout<const T> layout(const RowBlock<T>& A, Index first) {
  return {axis(A.partition(), first), Axis{{{0, 0, A.cols()}}}, A.values().data(), A.cols(), true};
}
template <class T>
Layout<T> layout(RowBlock<T>& A, Index first) {
  return {axis(A.partition(), first), Axis{{{0, 0, A.cols()}}}, A.values().data(), A.cols(), true};
}

/// Copies one rows x cols rectangle; transposes it where one side is stored by rows.
template <class T>
void move_block(const T* from, Index ld_from, bool from_rows, T* to, Index ld_to, bool to_rows,
                Index rows, Index cols) {
  if (from_rows) std::swap(rows, cols);
  if (from_rows == to_rows)
    copy_block(from, ld_from, to, ld_to, rows, cols);
  else
    transpose_block(from, ld_from, to, ld_to, rows, cols);
}

/// The most columns of any process in a panel of `width` columns.
Index widest(const Axis& cols, Index width) {
  if (cols.size() == 1) return width;
  Index nb = 1;
  for (const Runs& runs : cols)
    for (const Run& run : runs) nb = std::max(nb, run.count);
  const Index cycle = nb * static_cast<Index>(cols.size());
  return width / cycle * nb + std::min(nb, width % cycle);
}

Index tallest(const Axis& rows) {
  Index most = 1;
  for (const Runs& runs : rows) {
    Index sum = 0;
    for (const Run& run : runs) sum += run.count;
    most = std::max(most, sum);
  }
  return most;
}

/// Columns of a panel, the same on all ranks: at least one, else as many as keep what a rank sends
/// and receives within kBufferBytes.
template <class T>
Index panel_width(const Layout<const T>& from, const Layout<T>& to, Index rows, Index cols) {
  const Index out = std::min(rows, tallest(from.rows)), in = std::min(rows, tallest(to.rows));
  Index width = std::max<Index>(cols, 1);
  while (width > 1 && (out * widest(from.cols, width) + in * widest(to.cols, width)) *
                              static_cast<Index>(sizeof(T)) >
                          kBufferBytes)
    width = ceil_div(width, 2);
  return width;
}

/// What this rank exchanges with one other; `cols` are those of the current panel.
struct Exchange {
  std::vector<Piece> rows;
  std::vector<Piece> cols;
  Index count() const { return total(rows) * total(cols); }
};

/// Moves rows [first, last) and all columns of `from` to `to`, by panels of columns. Collective.
template <class T>
void move(const comm::Communicator& comm, const Layout<const T>& from, const Layout<T>& to,
          Index first, Index last, Index cols) {
  const int me = comm.rank(), ranks = comm.size();
  std::vector<Exchange> out(static_cast<std::size_t>(ranks)), in(out.size());
  for (int r = 0; r < ranks; ++r) {
    const auto k = static_cast<std::size_t>(r);
    if (me < from.ranks() && r < to.ranks())
      out[k].rows = common(from.rows_of(me), to.rows_of(r), first, last);
    if (r < from.ranks() && me < to.ranks())
      in[k].rows = common(from.rows_of(r), to.rows_of(me), first, last);
  }
  const Index width = panel_width(from, to, last - first, cols);
  RawVector<T> send;
  std::vector<Index> counts(out.size());
  for (Index begin = 0; begin < cols; begin += width) {
    const Index end = std::min(cols, begin + width);
    Index size = 0;
    for (int r = 0; r < ranks; ++r) {
      const auto k = static_cast<std::size_t>(r);
      if (!out[k].rows.empty()) out[k].cols = common(from.cols_of(me), to.cols_of(r), begin, end);
      if (!in[k].rows.empty()) in[k].cols = common(from.cols_of(r), to.cols_of(me), begin, end);
      counts[k] = r == me ? 0 : out[k].count();
      size += counts[k];
    }
    if (static_cast<Index>(send.size()) < size) send.resize(static_cast<std::size_t>(size));
    T* next = send.data();
    for (int r = 0; r < ranks; ++r) {
      const Exchange& x = out[static_cast<std::size_t>(r)];
      for (const Piece& J : x.cols)
        for (const Piece& I : x.rows) {
          const T* source = from.at(I.from, J.from);
          if (r == me) {
            move_block(source, from.ld, from.by_rows, to.at(I.to, J.to), to.ld, to.by_rows, I.count,
                       J.count);
          } else {
            move_block(source, from.ld, from.by_rows, next, I.count, false, I.count, J.count);
            next += I.count * J.count;
          }
        }
    }
    const auto received = comm.all_to_all<T>({send.data(), static_cast<std::size_t>(size)}, counts);
    const T* arrived = received.data();
    for (int r = 0; r < ranks; ++r) {
      if (r == me) continue;
      const Exchange& x = in[static_cast<std::size_t>(r)];
      for (const Piece& J : x.cols)
        for (const Piece& I : x.rows) {
          move_block(arrived, I.count, false, to.at(I.to, J.to), to.ld, to.by_rows, I.count,
                     J.count);
          arrived += I.count * J.count;
        }
    }
  }
}

template <class A, class B>
void require_same_extents(const A& from, const B& to) {
  if (from.rows() != to.rows() || from.cols() != to.cols())
    throw RunError("cannot redistribute a {} x {} matrix into one of {} x {}", from.rows(),
                   from.cols(), to.rows(), to.cols());
}

template <class T>
void require_panel(const DistMatrix<T>& A, Index first, const RowBlock<T>& panel) {
  if (first < 0 || first + panel.rows() > A.rows() || panel.cols() != A.cols())
    throw RunError("rows [{}, {}) of {} columns are not a panel of a {} x {} matrix", first,
                   first + panel.rows(), panel.cols(), A.rows(), A.cols());
}

}  // namespace

template <class T>
void copy(const DistMatrix<T>& A, DistMatrix<T>& B) {
  require_same_extents(A, B);
  if (A.grid().shape() == B.grid().shape() && A.nb() == B.nb()) {
    std::copy_n(A.data(), A.local_rows() * A.local_cols(), B.data());
    return;
  }
  move(A.grid().all(), layout(A), layout(B), 0, A.rows(), A.cols());
}

template <class T>
void copy(const DistMatrix<T>& A, RowBlock<T>& rows) {
  require_same_extents(A, rows);
  copy_rows(A, 0, rows);
}

template <class T>
void copy(const RowBlock<T>& rows, DistMatrix<T>& A) {
  require_same_extents(rows, A);
  copy_rows(rows, 0, A);
}

template <class T>
void copy_rows(const DistMatrix<T>& A, Index first, RowBlock<T>& panel) {
  require_panel(A, first, panel);
  move(A.grid().all(), layout(A), layout(panel, first), first, first + panel.rows(), A.cols());
}

template <class T>
void copy_rows(const RowBlock<T>& panel, Index first, DistMatrix<T>& A) {
  require_panel(A, first, panel);
  move(A.grid().all(), layout(panel, first), layout(A), first, first + panel.rows(), A.cols());
}

#define MERCER_INSTANTIATE(T)                                            \
  template void copy<T>(const DistMatrix<T>&, DistMatrix<T>&);           \
  template void copy<T>(const DistMatrix<T>&, RowBlock<T>&);             \
  template void copy<T>(const RowBlock<T>&, DistMatrix<T>&);             \
  template void copy_rows<T>(const DistMatrix<T>&, Index, RowBlock<T>&); \
  template void copy_rows<T>(const RowBlock<T>&, Index, DistMatrix<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::dist
