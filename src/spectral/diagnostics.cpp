#include "mercer/spectral/diagnostics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::spectral {
namespace {

constexpr Index kFirst = 10;    // of the eigenvalues that are fitted
constexpr double kShare = 4;    // up to n/kShare
constexpr double kAbove = 100;  // resolutions
constexpr int kPoints = 10, kLeastPoints = 5;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

double abscissa(Law law, Index i) {
  const auto x = static_cast<double>(i);
  switch (law) {
    case Law::power:
      return std::log(x);
    case Law::root_exponential:
      return std::sqrt(x);
    case Law::exponential:
      return x;
  }
  return 0;
}

/// Eigenvalues i = first ... last (from 1) that are averaged to one point.
struct Group {
  Index first = 0, last = 0;
};

/// The groups of whole spaces in first ... last.
std::vector<Group> groups(std::span<const Space> spaces, Index first, Index last) {
  const double ratio = std::pow(static_cast<double>(last + 1) / static_cast<double>(first),
                                1.0 / static_cast<double>(kPoints));
  std::vector<Group> all;
  for (const Space& space : spaces) {
    const Index from = space.first + 1, to = space.first + space.size;
    if (from < first || to > last) continue;
    const bool full =
        all.empty() ||
        static_cast<double>(from) >= (1 - 1e-12) * ratio * static_cast<double>(all.back().first);
    if (full)
      all.push_back({from, to});
    else
      all.back().last = to;
  }
  return all;
}

/// Ordinary least squares over the groups' means; the slope's error is HC3 of MacKinnon and White
/// (J. Econometrics 29, 1985), because means of few spaces scatter more than those of many.
LawFit fit_law(Law law, std::span<const double> lambda, const std::vector<Group>& groups) {
  std::vector<double> x, y;
  for (const Group& group : groups) {
    const auto size = static_cast<double>(group.last - group.first + 1);
    double sum_x = 0, sum_y = 0;
    for (Index i = group.first; i <= group.last; ++i) {
      sum_x += abscissa(law, i);
      sum_y += std::log(lambda[at(i - 1)]);
    }
    x.push_back(sum_x / size);
    y.push_back(sum_y / size);
  }
  const auto m = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0, rr = 0, variance = 0;
  for (std::size_t p = 0; p < x.size(); ++p) {
    mean_x += x[p] / m;
    mean_y += y[p] / m;
  }
  for (std::size_t p = 0; p < x.size(); ++p) {
    xx += (x[p] - mean_x) * (x[p] - mean_x);
    xy += (x[p] - mean_x) * (y[p] - mean_y);
  }
  const double slope = xy / xx;
  for (std::size_t p = 0; p < x.size(); ++p) {
    const double dx = x[p] - mean_x, r = y[p] - mean_y - slope * dx;
    const double leverage = 1 / m + dx * dx / xx;
    rr += r * r;
    variance += std::pow(dx * r / (1 - leverage) / xx, 2);
  }
  return {.law = law,
          .C = std::exp(mean_y - slope * mean_x),
          .exponent = -slope,
          .error = std::sqrt(variance),
          .residual = std::sqrt(rr / m)};
}

/// V^T Y D, D = diag(scale), as squares summed over the spaces: spaces x c, on all ranks.
template <class T>
std::vector<double> squares(const Eigenpairs<T>& pairs, const std::vector<std::size_t>& space_of,
                            Index spaces, const RowBlock<double>& Y,
                            std::span<const double> scale) {
  const Index c = Y.cols(), nb = pairs.vectors.nb();
  const auto& grid = pairs.vectors.grid();
  RowBlock<T> scaled(Y.comm(), Y.rows(), c);
  for (Index i = 0; i < Y.local_rows(); ++i)
    for (Index a = 0; a < c; ++a)
      scaled.row(i)[at(a)] = static_cast<T>(Y.row(i)[at(a)] * scale[at(a)]);
  dist::DistMatrix<T> B(grid, Y.rows(), c, nb), P(grid, c, pairs.vectors.cols(), nb);
  dist::copy(scaled, B);
  la::gemm<T>(blas::Trans::yes, blas::Trans::no, T{1}, B, pairs.vectors, T{0}, P);
  std::vector<double> sums(at(spaces * c), 0.0);
  for (Index j = 0; j < P.local_cols(); ++j)
    for (Index i = 0; i < P.local_rows(); ++i) {
      const Index row = P.row_map().global({i}).value, column = P.col_map().global({j}).value;
      const std::size_t space = space_of[at(column)];
      if (space < at(spaces))
        sums[space * at(c) + at(row)] += std::pow(static_cast<double>(P.local()(i, j)), 2);
    }
  grid.all().all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums;
}

/// |y_c|^2 of the columns, on all ranks.
std::vector<double> column_squares(const RowBlock<double>& Y) {
  std::vector<double> sums(at(Y.cols()), 0.0);
  for (Index i = 0; i < Y.local_rows(); ++i)
    for (Index a = 0; a < Y.cols(); ++a) sums[at(a)] += Y.row(i)[at(a)] * Y.row(i)[at(a)];
  Y.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums;
}

}  // namespace

Condition condition(std::span<const double> lambda, Index n, double resolution) {
  if (lambda.empty() || !(lambda.front() > 0))
    throw InputError("diagnostics: the largest eigenvalue is not positive");
  const double error = resolution * lambda.front();
  const bool lost = !(lambda.back() > error);
  const double least = lost ? std::max(lambda.back(), 0.0) + error : lambda.back();
  return {.value = lambda.front() / least, .whole = std::ssize(lambda) == n, .at_least = lost};
}

std::vector<EffectiveRank> effective_ranks(std::span<const double> lambda, double next, Index n,
                                           double resolution, std::span<const double> epsilons) {
  std::vector<EffectiveRank> ranks;
  const auto add = [&](double epsilon) {
    if (!(epsilon > 0 && epsilon < 1))
      throw InputError(
          "`diagnostics` {}: give thresholds between 0 and 1, relative to "
          "lambda_1^(1/2)",
          epsilon);
    const double least = epsilon * epsilon * lambda.front();
    const auto count = std::ranges::count_if(lambda, [&](double x) { return x > least; });
    ranks.push_back({.epsilon = epsilon,
                     .count = count,
                     .at_least = count == std::ssize(lambda) && count < n && !(next <= least),
                     .resolved = epsilon * epsilon > resolution});
  };
  for (const double epsilon : epsilons) add(epsilon);
  if (!epsilons.empty()) return ranks;
  add(0.1);
  for (int power = 2; std::pow(10, -2 * power) > resolution; ++power) {
    if (ranks.back().count == std::ssize(lambda)) break;  // so have all smaller ones
    add(std::pow(10, -power));
  }
  return ranks;
}

double LawFit::at(Index i) const {
  return C * std::exp(-exponent * abscissa(law, i));
}

std::string text(const LawFit& fit) {
  switch (fit.law) {
    case Law::power:
      return fmt::format("{:.3g} i^{:.3f}", fit.C, -fit.exponent);
    case Law::root_exponential:
      return fmt::format("{:.3g} exp({:.4g} i^(1/2))", fit.C, -fit.exponent);
    case Law::exponential:
      return fmt::format("{:.3g} exp({:.4g} i)", fit.C, -fit.exponent);
  }
  return "";
}

std::optional<Decay> fit_decay(std::span<const double> lambda, std::span<const Space> spaces,
                               Index n, double resolution, std::string& why) {
  Index last =
      std::min<Index>(std::ssize(lambda), static_cast<Index>(static_cast<double>(n) / kShare));
  while (last >= kFirst && !(lambda[at(last - 1)] > kAbove * resolution * lambda.front())) --last;
  const auto points = last > kFirst ? groups(spaces, kFirst, last) : std::vector<Group>();
  if (std::ssize(points) < kLeastPoints) {
    why = fmt::format(
        "no law of decay: eigenvalues {} ... min(k, n/4) above {:.0e} lambda_1 leave {} of the {} "
        "points that are needed, which are not within one space",
        kFirst, kAbove * resolution, points.size(), kLeastPoints);
    return {};
  }
  Decay decay{
      .first = points.front().first, .last = points.back().last, .points = std::ssize(points)};
  for (const Law law : kLaws) decay.fits.push_back(fit_law(law, lambda, points));
  for (std::size_t f = 1; f < decay.fits.size(); ++f)
    if (decay.fits[f].residual < decay.fits[decay.best].residual) decay.best = f;
  return decay;
}

double descent_steps(double lambda, double rate, double factor) {
  const double q = std::abs(1 - rate * lambda);
  if (!(q < 1)) return std::numeric_limits<double>::infinity();
  // log1p keeps the digits of small eigenvalues; the other branch is that of 1 - x < 0.
  const double decay = rate * lambda <= 1 ? -std::log1p(-rate * lambda) : -std::log(q);
  return std::max(1.0, std::log(factor) / decay);
}

template <class T>
Alignment align(const Eigenpairs<T>& pairs, std::span<const Space> spaces,
                const RowBlock<double>& Y, double resolution) {
  const Index k = pairs.k(), n = pairs.n(), c = Y.cols();
  if (k == 0 || pairs.vectors.cols() < k)
    throw InputError("alignment needs eigenvectors, and these pairs have none");
  if (Y.rows() != n || c == 0)
    throw InputError("alignment: {} x {} targets for eigenvectors of {} rows", Y.rows(), c, n);
  std::vector<std::size_t> space_of;
  for (std::size_t s = 0; s < spaces.size(); ++s)
    space_of.insert(space_of.end(), at(spaces[s].size), s);
  if (std::ssize(space_of) != k)
    throw InputError("alignment: spaces of {} eigenvalues for {} pairs", space_of.size(), k);
  const auto squared = column_squares(Y);
  double all = 0;
  for (const double one : squared) all += one;
  if (!(all > 0 && std::isfinite(all)))
    throw InputError("alignment: the targets are zero or not finite");

  const bool cut = k < n && pairs.values.back() - pairs.next <= resolution * pairs.values.front();
  Alignment result{.spaces = std::ssize(spaces) - (cut ? 1 : 0), .columns = c};
  std::vector<double> scale;
  for (const double one : squared) scale.push_back(one > 0 ? 1 / std::sqrt(one) : 0);
  result.parts = squares(pairs, space_of, result.spaces, Y, scale);
  double norm = 0;
  for (const double value : pairs.values) norm += value * value;
  for (Index a = 0; a < c; ++a) {
    double inside = 0, form = 0;
    for (Index s = 0; s < result.spaces; ++s) {
      double& part = result.parts[at(s * c + a)];
      if (!(squared[at(a)] > 0)) part = std::numeric_limits<double>::quiet_NaN();
      inside += part;
      form += part * pairs.values[at(spaces[at(s)].first)];
    }
    result.outside.push_back(1 - inside);
    if (k == n) result.kernel_alignment.push_back(form / std::sqrt(norm));
  }
  result.outside_total = 1;
  for (Index s = 0; s < result.spaces; ++s) {
    double sum = 0;
    for (Index a = 0; a < c; ++a)
      if (squared[at(a)] > 0) sum += result.parts[at(s * c + a)] * (squared[at(a)] / all);
    result.total.push_back(sum);
    result.outside_total -= sum;
  }
  return result;
}

template Alignment align(const Eigenpairs<double>&, std::span<const Space>, const RowBlock<double>&,
                         double);
template Alignment align(const Eigenpairs<float>&, std::span<const Space>, const RowBlock<double>&,
                         double);

}  // namespace mercer::spectral
