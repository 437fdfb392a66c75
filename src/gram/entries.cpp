#include "entries.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace mercer::gram {
namespace {

constexpr Index kLanes = 8;  // partial sums side by side, which the compiler keeps in registers

/// A sum of the entries: not finite if one of them is not (or if finite ones overflow together).
double sum_of(const double* x, Index n) {
  std::array<double, kLanes> lane{};
  Index k = 0;
  for (; k + kLanes <= n; k += kLanes)
    for (Index l = 0; l < kLanes; ++l) lane[static_cast<std::size_t>(l)] += x[k + l];
  for (; k < n; ++k) lane[0] += x[k];
  return std::accumulate(lane.begin(), lane.end(), 0.0);
}

std::string at(const RowNames& names, Index i, const std::string& reason) {
  return fmt::format("{} {}: {}", names.set, names.number(i) + 1, reason);
}

/// Of all rows prepared together, the one of lowest number whose k(x, x) leaves the range of
/// double, and why; empty where none does.
std::string first_out_of_range(const kernel::Kernel& kernel, const NamedRows& of) {
  Index first = -1;
  for (Index i = 0; i < of.rows.size(); ++i)
    if ((first < 0 || of.names.number(i) < of.names.number(first)) &&
        !kernel.range_error(of.rows, i).empty())
      first = i;
  return first < 0 ? "" : at(of.names, first, kernel.range_error(of.rows, first));
}

[[noreturn]] void throw_not_finite(const kernel::Kernel& kernel, const NamedRows& x, Index i,
                                   const NamedRows& z, Index j, double value) {
  std::string why = first_out_of_range(kernel, x);
  if (why.empty()) why = first_out_of_range(kernel, z);
  if (why.empty())
    why = fmt::format(
        "the entry of row {} and column {} is {}: its computation exceeds the range of double "
        "precision (1.8e308)",
        x.names.number(i) + 1, z.names.number(j) + 1, value);
  throw InputError("kernel matrix, {}", why);
}

}  // namespace

void give_up_if(const std::function<bool()>& interrupted) {
  if (interrupted && interrupted())
    throw Error(ExitCode::interrupted, "interrupted in a product with K");
}

Index columns_at_once(const kernel::Kernel& kernel, Index rows, Index most) {
  constexpr double kSteps = 6e7;
  const double column = kernel.steps_per_entry() * static_cast<double>(std::max<Index>(1, rows));
  return static_cast<Index>(std::max(1.0, std::min(kSteps / column, static_cast<double>(most))));
}

std::unique_ptr<kernel::Rows> prepare(const kernel::Kernel& kernel, Matrix<double>&& X,
                                      const RowNames& names) {
  try {
    return kernel.prepare(std::move(X));
  } catch (const kernel::RowError& error) {
    throw InputError("kernel matrix, {}", at(names, error.row(), error.reason()));
  }
}

void require_finite(const kernel::Kernel& kernel, const NamedRows& x, Index i0, const NamedRows& z,
                    Index j0, MatrixView<const double> out) {
  for (Index j = 0; j < out.cols; ++j) {
    if (std::isfinite(sum_of(out.column(j), out.rows))) continue;
    for (Index i = 0; i < out.rows; ++i)
      if (!std::isfinite(out(i, j))) throw_not_finite(kernel, x, i0 + i, z, j0 + j, out(i, j));
  }
}

void evaluate_tile(const kernel::Kernel& kernel, const NamedRows& x, Index i0, const NamedRows& z,
                   Index j0, MatrixView<double> out) {
  kernel.tile(x.rows, i0, z.rows, j0, out);
  require_finite(kernel, x, i0, z, j0, out);
}

void to_single(const double* from, Index n, double scale, float* to, const RowNames& x, Index i0,
               const RowNames& z, Index j) {
  std::array<float, kLanes> lane{};
  const auto keep = [&](Index k, Index l) {
    to[k] = static_cast<float>(from[k] * scale);
    lane[static_cast<std::size_t>(l)] += to[k];
  };
  Index k = 0;
  for (; k + kLanes <= n; k += kLanes)
    for (Index l = 0; l < kLanes; ++l) keep(k + l, l);
  for (; k < n; ++k) keep(k, 0);
  if (std::isfinite(std::accumulate(lane.begin(), lane.end(), 0.0F))) return;
  for (k = 0; k < n; ++k)
    if (!std::isfinite(to[k]))
      throw InputError(
          "kernel matrix: the entry of row {} and column {}, {:.3g}, exceeds the range of single "
          "precision (3.4e38): use double precision, or smaller inputs (`scale`)",
          x.number(i0 + k) + 1, z.number(j) + 1, from[k]);
}

void SingleSums::add(double value, float as_kept) {
  exact += std::fabs(value);
  kept += std::fabs(static_cast<double>(as_kept));
}

void require_kept(const SingleSums& sums) {
  constexpr double kRounding = 1e-6;
  if (!(std::fabs(sums.exact - sums.kept) <= kRounding * sums.exact))
    throw InputError(
        "kernel matrix: entries vanish in single precision (below 1e-38): use double precision, or "
        "larger inputs (`scale`)");
}

}  // namespace mercer::gram
