#include "mercer/train/row_set.hpp"

#include <algorithm>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::train {
namespace {

template <class T>
Matrix<T> converted(const dist::RowBlock<double>& rows) {
  Matrix<T> result(rows.cols(), rows.local_rows());
  std::ranges::transform(rows.values(), result.data(), [](double x) { return static_cast<T>(x); });
  return result;
}

}  // namespace

template <class T>
RowSet<T> row_set(const dist::RowBlock<double>& X, const dist::RowBlock<double>& Y) {
  if (X.rows() != Y.rows())
    throw InputError("{} rows of inputs, but {} rows of targets", X.rows(), Y.rows());
  return {X.rows(), X.first_row(), converted<T>(X), converted<T>(Y), {}, {}, false};
}

void random_order(std::span<Index> order, const Random& random, std::uint64_t first) {
  std::iota(order.begin(), order.end(), Index{0});
  for (Index i = std::ssize(order) - 1; i > 0; --i) {  // Fisher-Yates
    const double u = random.uniform(first + static_cast<std::uint64_t>(i));
    const Index j = std::min(i, static_cast<Index>(u * static_cast<double>(i + 1)));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
  }
}

RowSample sample_rows(Index n, Index count, std::uint64_t seed) {
  std::vector<Index> order(static_cast<std::size_t>(n));
  random_order(order, Random(seed, Stream::batches, kSampleSubstream));
  const auto begin = order.begin() + std::min(count, n), end = begin + std::min(count, n - count);
  RowSample sample{{order.begin(), begin}, {begin, end}};
  std::ranges::sort(sample.rows);
  std::ranges::sort(sample.others);
  return sample;
}

std::vector<std::vector<Index>> random_blocks(Index n, Index batch, std::uint64_t seed,
                                              Index epoch) {
  if (batch < 1) throw InputError("a batch of {} rows: at least 1 is needed", batch);
  std::vector<Index> order(static_cast<std::size_t>(n));
  random_order(order, Random(seed, Stream::batches, kBlocksSubstream),
               static_cast<std::uint64_t>(epoch * n));
  const dist::RowPartition parts{n, to_int(std::max<Index>(1, ceil_div(n, batch)), "blocks")};
  std::vector<std::vector<Index>> blocks;
  for (int b = 0; b < parts.nprocs && n > 0; ++b) {
    blocks.emplace_back(order.begin() + parts.begin(b), order.begin() + parts.end(b));
    std::ranges::sort(blocks.back());
  }
  return blocks;
}

dist::RowBlock<double> select_rows(const dist::RowBlock<double>& X, std::span<const Index> wanted) {
  dist::RowBlock<double> result(X.comm(), static_cast<Index>(wanted.size()), X.cols());
  const auto mine =
      dist::fetch_rows(X, wanted.subspan(static_cast<std::size_t>(result.first_row()),
                                         static_cast<std::size_t>(result.local_rows())));
  std::copy_n(mine.data(), mine.size(), result.values().data());
  return result;
}

template RowSet<double> row_set<double>(const dist::RowBlock<double>&,
                                        const dist::RowBlock<double>&);
template RowSet<float> row_set<float>(const dist::RowBlock<double>&, const dist::RowBlock<double>&);

}  // namespace mercer::train
