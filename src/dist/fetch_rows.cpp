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
  // Own rows are copied into place; the others are requested, grouped by owner.
  const auto self = static_cast<std::size_t>(comm.rank());
  std::vector<Index> counts(ranks, 0);
  for (const Index i : wanted) {
    if (i < 0 || i >= rows.rows()) comm::abort_run("fetch_rows", "a row that does not exist");
    ++counts[static_cast<std::size_t>(partition.owner(i))];
  }
  std::vector<Index> foreign = counts;
  foreign[self] = 0;
  std::vector<Index> next(ranks + 1, 0);  // where the next request to each owner goes
  for (std::size_t r = 0; r < ranks; ++r) next[r + 1] = next[r] + foreign[r];
  std::vector<Index> requests(static_cast<std::size_t>(next[ranks])), column(requests.size());
  const Index cols = rows.cols();
  Matrix<T> result(cols, static_cast<Index>(wanted.size()));
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    const auto owner = static_cast<std::size_t>(partition.owner(wanted[k]));
    if (owner == self) {
      std::ranges::copy(rows.row(wanted[k] - rows.first_row()),
                        result.column(static_cast<Index>(k)));
      continue;
    }
    const auto place = static_cast<std::size_t>(next[owner]++);
    requests[place] = wanted[k];
    column[place] = static_cast<Index>(k);
  }
  std::vector<Index> asked;
  const auto requested = comm.all_to_all<Index>(requests, foreign, &asked);

  RawVector<T> send(requested.size() * static_cast<std::size_t>(cols));
  T* out = send.data();
  for (const Index i : requested) out = std::ranges::copy(rows.row(i - rows.first_row()), out).out;
  for (auto* list : {&asked, &counts, &foreign})
    for (Index& count : *list) count *= cols;
  if (std::ranges::is_sorted(
          wanted)) {  // then every owner's rows are consecutive: received in place
    comm.all_to_all<T>(send, asked, {result.data(), static_cast<std::size_t>(result.size())},
                       counts);
    return result;
  }
  RawVector<T> received(requests.size() * static_cast<std::size_t>(cols));
  comm.all_to_all<T>(send, asked, received, foreign);
  for (std::size_t k = 0; k < requests.size(); ++k)
    std::copy_n(received.data() + static_cast<Index>(k) * cols, cols, result.column(column[k]));
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
