#include "prepare.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// sum_i f(x_ij, j) for each column j, summed rank after rank. Collective.
template <class F>
std::vector<double> column_sums(const RowBlock<double>& rows, F&& f) {
  const Index d = rows.cols();
  std::vector<double> sums(at(2 * d), 0);  // the sums, then their rounding errors
  for (int rank = 0; rank < rows.comm().size(); ++rank) {
    if (rows.partition().size(rank) == 0) continue;
    if (rank == rows.comm().rank())
      for (Index i = 0; i < rows.local_rows(); ++i)
        for (Index j = 0; j < d; ++j) {
          const double a = sums[at(j)], b = f(rows.row(i)[at(j)], j);
          const double sum = a + b, part = sum - a;  // Knuth's TwoSum
          sums[at(d + j)] += (a - (sum - part)) + (b - part);
          sums[at(j)] = sum;
        }
    rows.comm().broadcast(std::span<double>(sums), rank);
  }
  for (Index j = 0; j < d; ++j) sums[at(j)] += sums[at(d + j)];
  sums.resize(at(d));
  return sums;
}

/// The exponent of a power of two by which numbers up to `largest` are divided so that neither sums
/// nor squares overflow or underflow; 0 where they do not anyway. The division is exact.
int extreme_exponent(double largest) {
  constexpr int kSafe = 400;
  if (largest == 0) return 0;
  const int exponent = std::ilogb(largest);
  return std::abs(exponent) > kSafe ? exponent : 0;
}

/// (x - mean)/2^exponent, without overflow in between.
double centred(double x, double mean, int exponent) {
  if (exponent == 0) return x - mean;
  if (exponent < 0) return std::scalbn(x - mean, -exponent);
  return std::scalbn(x, -exponent) - std::scalbn(mean, -exponent);
}

/// The least and the largest number of each column, over all ranks.
struct Range {
  std::vector<double> least, most;
};
Range column_range(const RowBlock<double>& rows) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Range range{std::vector<double>(at(rows.cols()), infinity),
              std::vector<double>(at(rows.cols()), -infinity)};
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (std::size_t j = 0; j < range.least.size(); ++j) {
      range.least[j] = std::min(range.least[j], rows.row(i)[j]);
      range.most[j] = std::max(range.most[j], rows.row(i)[j]);
    }
  rows.comm().all_reduce(std::span<double>(range.least), comm::Op::min);
  rows.comm().all_reduce(std::span<double>(range.most), comm::Op::max);
  return range;
}

}  // namespace

Moments column_moments(const RowBlock<double>& rows) {
  const auto n = static_cast<double>(rows.rows());
  const auto [least, most] = column_range(rows);
  const std::size_t d = least.size();
  std::vector<int> exponent(d);
  for (std::size_t j = 0; j < d; ++j)
    exponent[j] = extreme_exponent(std::max(std::abs(least[j]), std::abs(most[j])));

  Moments moments;
  moments.mean =
      column_sums(rows, [&](double x, Index j) { return centred(x, 0, exponent[at(j)]); });
  for (std::size_t j = 0; j < d; ++j) {
    double& mean = moments.mean[j];
    mean = least[j] == most[j] ? least[j] : std::scalbn(mean / n, exponent[j]);
    const int most_off = std::max(exponent[j], 0);  // 2^most_off `off` is the largest |x - mean|
    const double off = std::max(std::abs(centred(most[j], mean, most_off)),
                                std::abs(centred(least[j], mean, most_off)));
    exponent[j] = most_off > 0 ? most_off : extreme_exponent(off);
  }
  moments.deviation = column_sums(rows, [&](double x, Index j) {
    const double y = centred(x, moments.mean[at(j)], exponent[at(j)]);
    return y * y;
  });
  for (std::size_t j = 0; j < d; ++j) {
    double& deviation = moments.deviation[j];
    deviation = std::scalbn(std::sqrt(deviation / n), exponent[j]);
    if (!std::isfinite(deviation))
      throw InputError(
          "`standardize`: the deviation of column {} (counted from 1) overflows: its values "
          "reach from {} to {}",
          j + 1, least[j], most[j]);
    if (deviation == 0) {
      deviation = 1;
      moments.constant.push_back(static_cast<Index>(j));
    }
  }
  return moments;
}

void standardize(RowBlock<double>& rows, const std::vector<double>& mean,
                 const std::vector<double>& deviation) {
  std::vector<int> exponent;
  std::vector<double> scaled;
  for (double s : deviation) {
    exponent.push_back(std::max(extreme_exponent(s), 0));
    scaled.push_back(std::scalbn(s, -exponent.back()));
  }
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (std::size_t j = 0; j < mean.size(); ++j)
      rows.row(i)[j] = centred(rows.row(i)[j], mean[j], exponent[j]) / scaled[j];
}

void unit_norm(RowBlock<double>& rows) {
  for (Index i = 0; i < rows.local_rows(); ++i) {
    const auto row = rows.row(i);
    double largest = 0;
    for (double x : row) largest = std::max(largest, std::abs(x));
    if (largest == 0) continue;
    // Division by a power of two is exact, and then squares neither overflow nor underflow.
    const int exponent = std::ilogb(largest);
    const bool extreme = std::abs(exponent) > 400;
    double square = 0;
    for (double& x : row) {
      if (extreme) x = std::scalbn(x, -exponent);
      square += x * x;
    }
    for (double& x : row) x /= std::sqrt(square);
  }
}

RowBlock<double> one_hot(const RowBlock<double>& targets, const std::vector<Index>& labels,
                         Index classes) {
  const double mean = 1 / static_cast<double>(classes);
  return comm::together(targets.comm(), [&] {
    RowBlock<double> result(targets.comm(), targets.rows(), classes);
    for (Index i = 0; i < result.local_rows(); ++i)
      for (Index j = 0; j < classes; ++j)
        result.row(i)[at(j)] = labels[at(i)] < 0 ? std::numeric_limits<double>::quiet_NaN()
                                                 : (labels[at(i)] == j ? 1 : 0) - mean;
    return result;
  });
}

std::uint64_t hash_rows(const RowBlock<double>& rows) {
  std::uint64_t sum = 0;
  for (Index i = 0; i < rows.local_rows(); ++i) {
    std::uint64_t h = mix(static_cast<std::uint64_t>(rows.first_row() + i) + kGolden);
    for (double x : rows.row(i)) h = mix(h + kGolden + std::bit_cast<std::uint64_t>(x + 0.0));
    sum += h;
  }
  sum = rows.comm().all_reduce(sum, comm::Op::sum);
  return mix(mix(sum + static_cast<std::uint64_t>(rows.rows()) * kGolden) +
             static_cast<std::uint64_t>(rows.cols()));
}

}  // namespace mercer::data
