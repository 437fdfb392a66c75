#include "prepare.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "mercer/comm/together.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// sum_i f(x_ij, j) for each column j, rank after rank.
template <class F>
std::vector<double> column_sums(const RowBlock<double>& rows, F&& f) {
  const Index d = rows.cols();
  std::vector<double> sums(at(2 * d), 0);  // the sums, then what they lost by rounding
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

}  // namespace

Moments column_moments(const RowBlock<double>& rows) {
  const auto n = static_cast<double>(rows.rows());
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> least(at(rows.cols()), infinity), most(at(rows.cols()), -infinity);
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (std::size_t j = 0; j < least.size(); ++j) {
      least[j] = std::min(least[j], rows.row(i)[j]);
      most[j] = std::max(most[j], rows.row(i)[j]);
    }
  rows.comm().all_reduce(std::span<double>(least), comm::Op::min);
  rows.comm().all_reduce(std::span<double>(most), comm::Op::max);

  Moments moments;
  moments.mean = column_sums(rows, [](double x, Index) { return x; });
  for (std::size_t j = 0; j < least.size(); ++j)
    moments.mean[j] = least[j] == most[j] ? least[j] : moments.mean[j] / n;
  moments.deviation = column_sums(rows, [&](double x, Index j) {
    return (x - moments.mean[at(j)]) * (x - moments.mean[at(j)]);
  });
  for (std::size_t j = 0; j < least.size(); ++j) {
    double& deviation = moments.deviation[j];
    deviation = std::sqrt(deviation / n);
    if (!std::isfinite(deviation))
      throw InputError(
          "standardize: the deviation of column {} (counted from 1) overflows: its values "
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
  for (Index i = 0; i < rows.local_rows(); ++i)
    for (std::size_t j = 0; j < mean.size(); ++j)
      rows.row(i)[j] = (rows.row(i)[j] - mean[j]) / deviation[j];
}

void unit_norm(RowBlock<double>& rows) {
  for (Index i = 0; i < rows.local_rows(); ++i) {
    const auto row = rows.row(i);
    double largest = 0;
    for (double x : row) largest = std::max(largest, std::abs(x));
    if (largest == 0) continue;
    // A power of two, so that it costs no rounding: squares neither overflow nor vanish.
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
        result.row(i)[at(j)] = (labels[at(i)] == j ? 1 : 0) - mean;
    return result;
  });
}

std::uint64_t hash_rows(const RowBlock<double>& rows) {
  // The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
  const auto mix = [](std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  };
  constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;
  std::uint64_t sum = 0;
  for (Index i = 0; i < rows.local_rows(); ++i) {
    std::uint64_t h = mix(static_cast<std::uint64_t>(rows.first_row() + i) + step);
    for (double x : rows.row(i)) h = mix(h + step + std::bit_cast<std::uint64_t>(x + 0.0));
    sum += h;
  }
  sum = rows.comm().all_reduce(sum, comm::Op::sum);
  return mix(mix(sum + static_cast<std::uint64_t>(rows.rows()) * step) +
             static_cast<std::uint64_t>(rows.cols()));
}

}  // namespace mercer::data
