#include "mercer/gram/check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::gram {
namespace {

using dist::RowBlock;

struct Pair {
  Index i = 0, j = 0;
  auto operator<=>(const Pair&) const = default;
};

/// The row whose largest input in modulus is largest (sign 1) or smallest (-1) among all rows; the
/// first of equal ones. Collective.
Index extreme_row(const RowBlock<double>& X, double sign) {
  double best = -std::numeric_limits<double>::infinity();
  Index row = X.rows();
  for (Index i = 0; i < X.local_rows(); ++i) {
    double largest = 0;
    for (const double x : X.row(i)) largest = std::max(largest, std::abs(x));
    if (sign * largest > best) {
      best = sign * largest;
      row = X.first_row() + i;
    }
  }
  const double of_all = X.comm().all_reduce(best, comm::Op::max);
  return X.comm().all_reduce(best == of_all ? row : X.rows(), comm::Op::min);
}

/// The pairs to compare besides the diagonal, the same on every rank. Collective.
std::vector<Pair> sampled_pairs(const RowBlock<double>& Z, const RowBlock<double>& X,
                                std::uint64_t seed) {
  std::vector<Pair> pairs;
  if (Z.rows() == 0 || X.rows() == 0) return pairs;
  const Random random(seed, Stream::probe, 2);
  std::uint64_t drawn = 0;
  const auto any = [&](Index n) {
    return std::min(n - 1, static_cast<Index>(random.uniform(drawn++) * static_cast<double>(n)));
  };
  for (const double sign_z : {1.0, -1.0}) {
    const Index i = extreme_row(Z, sign_z);
    for (const double sign_x : {1.0, -1.0}) pairs.push_back({i, extreme_row(X, sign_x)});
    for (int k = 0; k < 16; ++k) pairs.push_back({i, any(X.rows())});
  }
  for (const double sign_x : {1.0, -1.0}) {
    const Index j = extreme_row(X, sign_x);
    for (int k = 0; k < 16; ++k) pairs.push_back({any(Z.rows()), j});
  }
  for (int k = 0; k < 256; ++k) {
    const Index i = any(Z.rows());
    pairs.push_back({i, any(X.rows())});
  }
  return pairs;
}

/// Whether a reference takes longer than a few milliseconds.
bool is_slow(const kernel::Kernel& kernel) {
  return kernel.reference_steps() >= 1e3;
}

/// How many pairs a rank compares where the reference takes so many steps: in about ten seconds.
double most_pairs(double steps) {
  constexpr double kSteps = 1e6, kLeast = 2;
  return std::floor(std::max(kLeast, kSteps / steps));
}

/// All pairs; where the formulas take long, as for images, each once, and most_pairs() of them,
/// spread evenly.
std::vector<Pair> affordable(std::vector<Pair> pairs, const kernel::Kernel& kernel) {
  if (!is_slow(kernel)) return pairs;
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  const auto most = static_cast<std::size_t>(most_pairs(kernel.reference_steps()));
  if (pairs.size() <= most) return pairs;
  std::vector<Pair> some;
  for (std::size_t k = 0; k < most; ++k) some.push_back(pairs[k * pairs.size() / most]);
  return some;
}

/// Compares entry by entry, on each rank those that it is given.
class Comparison {
 public:
  /// `smallest`: the absolute difference up to which values count as equal.
  Comparison(const kernel::Kernel& kernel, double smallest)
      : kernel_(kernel), smallest_(smallest) {}

  void add(Pair at, std::span<const double> z, std::span<const double> x, double value) {
    const long double exact = *kernel_.reference(z, x);
    const long double size =
        at.i == at.j && std::ranges::equal(z, x)
            ? std::fabs(exact)
            : std::sqrt(*kernel_.reference(z, z)) * std::sqrt(*kernel_.reference(x, x));
    const long double away = std::fabs(value - exact) - smallest_;
    double difference = away > 0 ? static_cast<double>(away / size) : 0;
    if (!std::isfinite(value) || std::isnan(difference)) difference = INFINITY;
    ++worst_.entries;
    if (worst_.row >= 0 && !(difference > worst_.difference)) return;
    worst_.difference = difference;
    worst_.row = at.i, worst_.column = at.j;
    worst_.value = value, worst_.reference = static_cast<double>(exact);
  }

  /// Collective.
  EntryCheck result(const comm::Communicator& comm) const {
    const auto differences = comm.all_gather(worst_.row >= 0 ? worst_.difference : -1.0);
    const auto at = std::ranges::max_element(differences) - differences.begin();
    EntryCheck result = worst_;
    result.entries = comm.all_reduce(worst_.entries, comm::Op::sum);
    const auto of_worst = [&](auto value) {
      return comm.all_gather(value)[static_cast<std::size_t>(at)];
    };
    result.difference = of_worst(worst_.difference);
    result.row = of_worst(worst_.row), result.column = of_worst(worst_.column);
    result.value = of_worst(worst_.value), result.reference = of_worst(worst_.reference);
    return result;
  }

 private:
  const kernel::Kernel& kernel_;
  long double smallest_;
  EntryCheck worst_;
};

/// f(pair, z_i, x_j) for this rank's pairs, whose rows are fetched in panels. Collective.
template <class F>
void for_rows(const RowBlock<double>& Z, const RowBlock<double>& X, const std::vector<Pair>& pairs,
              F&& f) {
  constexpr Index kPanel = 1024;
  const Index rounds = Z.comm().all_reduce(ceil_div(std::ssize(pairs), kPanel), comm::Op::max);
  for (Index round = 0; round < rounds; ++round) {
    std::vector<Index> of_z, of_x;
    const Index begin = std::min(round * kPanel, std::ssize(pairs));
    const Index end = std::min(begin + kPanel, std::ssize(pairs));
    for (Index k = begin; k < end; ++k) {
      of_z.push_back(pairs[static_cast<std::size_t>(k)].i);
      of_x.push_back(pairs[static_cast<std::size_t>(k)].j);
    }
    const auto z = dist::fetch_rows<double>(Z, of_z), x = dist::fetch_rows<double>(X, of_x);
    comm::together(Z.comm(), [&] {
      for (Index k = begin; k < end; ++k) {
        const auto d = static_cast<std::size_t>(z.rows());
        f(pairs[static_cast<std::size_t>(k)], std::span<const double>(z.column(k - begin), d),
          std::span<const double>(x.column(k - begin), d));
      }
    });
  }
}

/// Whether the kernel has a reference(); the same on all ranks.
bool has_reference(const kernel::Kernel& kernel, Index d) {
  const std::vector<double> zero(static_cast<std::size_t>(d), 0.0);
  return kernel.reference(zero, zero).has_value();
}

}  // namespace

template <class T>
std::optional<EntryCheck> check_entries(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                                        const RowBlock<double>& X, const dist::DistMatrix<T>& K,
                                        double scale, std::uint64_t seed) {
  if (!has_reference(kernel, X.cols())) return std::nullopt;
  std::vector<Pair> mine;
  const auto take = [&](Pair p) {
    if (K.grid().active() && K.row_map().mine({p.i}) && K.col_map().mine({p.j})) mine.push_back(p);
  };
  if (&Z == &X)
    for (Index i = 0; i < X.rows(); ++i) take({i, i});
  for (const Pair& p : sampled_pairs(Z, X, seed)) take(p);
  mine = affordable(std::move(mine), kernel);
  Comparison comparison(kernel, static_cast<double>(std::numeric_limits<T>::min()) / scale);
  for_rows(Z, X, mine, [&](Pair p, std::span<const double> z, std::span<const double> x) {
    const T stored = K(K.row_map().local({p.i}), K.col_map().local({p.j}));
    comparison.add(p, z, x, static_cast<double>(stored) / scale);
  });
  return comparison.result(X.comm());
}

std::optional<EntryCheck> check_entries(const kernel::Kernel& kernel, const RowBlock<double>& X,
                                        std::uint64_t seed) {
  if (!has_reference(kernel, X.cols())) return std::nullopt;
  std::vector<Pair> mine;
  for (Index i = 0; i < X.local_rows(); ++i) mine.push_back({X.first_row() + i, X.first_row() + i});
  const auto pairs = sampled_pairs(X, X, seed);
  for (std::size_t k = 0; k < pairs.size(); ++k)
    if (static_cast<int>(k % static_cast<std::size_t>(X.comm().size())) == X.comm().rank())
      mine.push_back(pairs[k]);
  mine = affordable(std::move(mine), kernel);
  Comparison comparison(kernel, std::numeric_limits<double>::min());
  const auto one = [&](std::span<const double> row) {
    Matrix<double> copy(std::ssize(row), 1);
    std::ranges::copy(row, copy.data());
    return kernel.prepare(std::move(copy));
  };
  for_rows(X, X, mine, [&](Pair p, std::span<const double> z, std::span<const double> x) {
    double value = NAN;
    kernel.tile(*one(z), 0, *one(x), 0, {&value, 1, 1, 1});
    comparison.add(p, z, x, value);
  });
  return comparison.result(X.comm());
}

CheckCost check_entries_cost(const kernel::Kernel& kernel, Index m, Index n, bool diagonal,
                             int ranks) {
  if (!is_slow(kernel) || m == 0 || n == 0) return {};
  constexpr double kStepSeconds = 2e-6, kStepBytes = 400;  // see Kernel::reference_steps()
  constexpr double kSampled = 4 * (1 + 16) + 256;
  const double steps = kernel.reference_steps();
  const double own = std::ceil((kSampled + (diagonal ? static_cast<double>(n) : 0)) / ranks);
  const double pairs = std::min(own, most_pairs(steps));
  return {.bytes = kStepBytes * steps, .seconds = (1 + 3 * pairs) * kStepSeconds * steps};
}

template <class T>
double entry_tolerance(double error_estimate) {
  return 1e-9 + error_estimate + 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
}

std::string text(const EntryCheck& check, double tolerance) {
  const bool ok = check.difference <= tolerance;
  const auto what = fmt::format(
      "{} entries against the scalar formulas in long double: off by {:.1e} of sqrt(k(x, x) k(z, "
      "z)) ({})",
      check.entries, check.difference, ok ? "good" : "failed");
  if (ok) return what;
  return fmt::format("{}; row {}, column {}: {:.17g}, by the formulas {:.17g}", what, check.row + 1,
                     check.column + 1, check.value, check.reference);
}

#define MERCER_INSTANTIATE(T)                                                  \
  template std::optional<EntryCheck> check_entries<T>(                         \
      const kernel::Kernel&, const RowBlock<double>&, const RowBlock<double>&, \
      const dist::DistMatrix<T>&, double, std::uint64_t);                      \
  template double entry_tolerance<T>(double);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::gram
