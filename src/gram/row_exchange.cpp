#include "row_exchange.hpp"

#include <algorithm>

namespace mercer::gram {
namespace {

std::vector<Index> times(const std::vector<Index>& counts, Index b) {
  std::vector<Index> result(counts);
  for (Index& count : result) count *= b;
  return result;
}

/// Calls f(i, c, at) for the rows of a piece, `at` the position of (i, c) in the transposed block.
/// In small squares, because columns of V and Y a power of two apart would evict one another from
/// the cache.
template <class F>
void transposing(Range rows, Index b, F&& f) {
  constexpr Index kSide = 8;
  for (Index i0 = rows.begin; i0 < rows.end; i0 += kSide)
    for (Index c0 = 0; c0 < b; c0 += kSide)
      for (Index i = i0; i < std::min(rows.end, i0 + kSide); ++i)
        for (Index c = c0; c < std::min(b, c0 + kSide); ++c) f(i, c, (i - rows.begin) * b + c);
}

}  // namespace

RowExchange::RowExchange(const comm::Communicator& comm, Index n,
                         const std::function<std::vector<Range>(int)>& wanted)
    : comm_(comm) {
  const dist::RowPartition partition{n, comm.size()};
  const Range own{partition.begin(comm.rank()), partition.end(comm.rank())};
  outgoing_.assign(static_cast<std::size_t>(comm.size()), 0);
  incoming_ = outgoing_;
  for (int r = 0; r < comm.size(); ++r)
    for (const Range& range : wanted(r)) {
      const Range part{std::max(range.begin, own.begin), std::min(range.end, own.end)};
      if (part.size() <= 0) continue;
      pieces_.push_back({{part.begin - own.begin, part.end - own.begin}, r == comm.rank()});
      outgoing_[static_cast<std::size_t>(r)] += part.size();
      requests_ += part.size();
    }
  for (const Range& range : wanted(comm.rank())) {
    rows_ += range.size();
    for (Index i = range.begin; i < range.end;) {
      const int owner = partition.owner(i);
      const Index end = std::min(range.end, partition.end(owner));
      incoming_[static_cast<std::size_t>(owner)] += end - i;
      if (owner < comm.rank()) first_own_ += end - i;
      i = end;
    }
  }
}

void RowExchange::gather(MatrixView<const double> V, double* buffer, MatrixView<double> W) const {
  const Index b = V.cols;
  double* to_others = buffer;
  double* to_own = W.data + first_own_ * b;
  for (const auto& [rows, own] : pieces_) {
    double*& to = own ? to_own : to_others;
    transposing(rows, b, [&](Index i, Index c, Index at) { to[at] = V(i, c); });
    to += rows.size() * b;
  }
  auto to_send = times(outgoing_, b);
  to_send[static_cast<std::size_t>(comm_.rank())] = 0;
  comm_.all_to_all<double>({buffer, static_cast<std::size_t>(requests_ * b)}, to_send,
                           {W.data, static_cast<std::size_t>(rows_ * b)}, times(incoming_, b));
}

void RowExchange::add(MatrixView<const double> Z, double* buffer, MatrixView<double> Y) const {
  const Index b = Y.cols;
  comm_.all_to_all<double>({Z.data, static_cast<std::size_t>(rows_ * b)}, times(incoming_, b),
                           {buffer, static_cast<std::size_t>(requests_ * b)}, times(outgoing_, b));
  for (Index c = 0; c < b; ++c) std::fill_n(Y.column(c), Y.rows, 0.0);
  const double* from = buffer;
  for (const auto& [rows, own] : pieces_) {
    transposing(rows, b, [&](Index i, Index c, Index at) { Y(i, c) += from[at]; });
    from += rows.size() * b;
  }
}

}  // namespace mercer::gram
