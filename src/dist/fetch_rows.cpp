#include <algorithm>
#include <vector>

#include "mercer/comm/environment.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::dist {

template <class T>
Matrix<T> fetch_rows(const RowBlock<T>& rows, std::span<const Index> wanted) {
  const comm::Communicator& comm = rows.comm();
  const auto& partition = rows.partition();
  const auto ranks = static_cast<std::size_t>(comm.size());
  std::vector<Index> counts(ranks, 0);
  for (const Index i : wanted) {
    if (i < 0 || i >= rows.rows()) comm::abort_run("fetch_rows", "a row that does not exist");
    ++counts[static_cast<std::size_t>(partition.owner(i))];
  }
  std::vector<Index> next(ranks, 0);  // where the next request to each owner goes
  for (std::size_t r = 1; r < ranks; ++r) next[r] = next[r - 1] + counts[r - 1];
  std::vector<Index> requests(wanted.size()), place(wanted.size());
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    place[k] = next[static_cast<std::size_t>(partition.owner(wanted[k]))]++;
    requests[static_cast<std::size_t>(place[k])] = wanted[k];
  }
  std::vector<Index> asked;
  const std::vector<Index> requested = comm.all_to_all<Index>(requests, counts, &asked);

  const Index cols = rows.cols();
  RawVector<T> send(requested.size() * static_cast<std::size_t>(cols));
  T* out = send.data();
  for (const Index i : requested) {
    const auto row = rows.row(i - rows.first_row());
    out = std::copy(row.begin(), row.end(), out);
  }
  for (Index& count : asked) count *= cols;
  const std::vector<T> received = comm.all_to_all<T>(send, asked);
  Matrix<T> result(cols, static_cast<Index>(wanted.size()));
  for (std::size_t k = 0; k < wanted.size(); ++k)
    std::copy_n(received.data() + place[k] * cols, cols, result.column(static_cast<Index>(k)));
  return result;
}

template <class T>
Matrix<T> all_rows(const RowBlock<T>& rows) {
  const comm::Communicator& comm = rows.comm();
  const auto& partition = rows.partition();
  Matrix<T> result(rows.cols(), rows.rows());
  const auto mine = rows.values();
  std::copy(mine.begin(), mine.end(), result.column(rows.first_row()));
  for (int r = 0; r < comm.size(); ++r)
    comm.broadcast(std::span<T>(result.column(partition.begin(r)),
                                static_cast<std::size_t>(partition.size(r) * rows.cols())),
                   r);
  return result;
}

#define MERCER_INSTANTIATE(T)                                                   \
  template Matrix<T> fetch_rows<T>(const RowBlock<T>&, std::span<const Index>); \
  template Matrix<T> all_rows<T>(const RowBlock<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::dist
