#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "layout.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/la/blas.hpp"

namespace mercer::krr {
namespace {

constexpr Index kPanelColumns = 256;
constexpr Index kGridRidges = 41;
constexpr double kSumError = 1e-9;
constexpr double kLogStep = 1e-3;  // to which log G is refined
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
std::span<T> values(Matrix<T>& A) {
  return {A.data(), static_cast<std::size_t>(A.size())};
}

/// Local rows of V in double, c columns: what this rank needs of Y.
template <class T>
Matrix<T> fetch(const RowBlock<double>& Y, const DistMatrix<T>& V) {
  std::vector<Index> wanted(static_cast<std::size_t>(V.local_rows()));
  for (Index i = 0; i < V.local_rows(); ++i)
    wanted[static_cast<std::size_t>(i)] = V.row_map().global({i}).value;
  const Matrix<double> fetched = dist::fetch_rows(Y, std::span<const Index>(wanted));
  Matrix<T> rows(V.local_rows(), Y.cols());
  for (Index i = 0; i < rows.rows(); ++i)
    for (Index o = 0; o < rows.cols(); ++o) rows(i, o) = static_cast<T>(fetched(o, i));
  return rows;
}

double score_or_infinity(double score) {
  return std::isfinite(score) ? score : kInfinity;
}

/// Where the score without rounding can be, when s = s_exact (1 +- error).
struct Interval {
  Interval(double score, double error)
      : low(std::isfinite(score) ? score / (1 + error) : kInfinity),
        high(std::isfinite(score) && error < 1 ? score / (1 - error) : kInfinity) {}
  bool certainly_above(const Interval& other) const { return low > other.high; }
  double low, high;
};

std::vector<Interval> intervals(std::span<const double> scores, std::span<const double> errors) {
  std::vector<Interval> result;
  for (std::size_t r = 0; r < scores.size(); ++r) result.emplace_back(scores[r], errors[r]);
  return result;
}

double least_high(std::span<const Interval> intervals) {
  double least = kInfinity;
  for (const Interval& interval : intervals) least = std::min(least, interval.high);
  return least;
}

/// Golden section for the least interval at(x) in a <= x <= b to kLogStep; ties go to the larger x.
template <class F>
double golden_section(double a, double b, F&& at) {
  const double shrink = 1 / std::numbers::phi;
  double x = b - shrink * (b - a), y = a + shrink * (b - a);
  Interval at_x = at(x), at_y = at(y);
  while (b - a > kLogStep) {
    if (at_y.certainly_above(at_x)) {
      b = y, y = x, at_y = at_x;
      x = b - shrink * (b - a), at_x = at(x);
    } else {
      a = x, x = y, at_x = at_y;
      y = a + shrink * (b - a), at_y = at(y);
    }
  }
  return (a + b) / 2;
}

}  // namespace

std::vector<double> ridge_grid(double mean_diagonal) {
  std::vector<double> ridges(static_cast<std::size_t>(kGridRidges));
  for (std::size_t r = 0; r < ridges.size(); ++r)
    ridges[r] =
        mean_diagonal * std::pow(10.0, -10 + 11 * static_cast<double>(r) / (kGridRidges - 1));
  return ridges;
}

std::size_t best_ridge(std::span<const double> ridges, std::span<const double> scores,
                       std::span<const double> errors) {
  const auto s = intervals(scores, errors);
  const double least = least_high(s);
  if (!std::isfinite(least)) {
    const auto [first, last] = std::minmax_element(ridges.begin(), ridges.end());
    throw RunError("no ridge between {:.2g} and {:.2g} has a finite score", *first, *last);
  }
  std::size_t best = s.size();
  for (std::size_t r = 0; r < s.size(); ++r)
    if (s[r].low <= least && (best == s.size() || ridges[r] > ridges[best])) best = r;
  return best;
}

template <class T>
SpectralPath<T>::SpectralPath(const spectral::Eigenpairs<T>& pairs,
                              const msk::ModifiedSpectrum& spectrum, const RowBlock<double>& Y)
    : pairs_(pairs), spectrum_(spectrum), ratio_(spectrum.ratio()), Y_(Y) {
  const DistMatrix<T>& V = pairs.vectors;
  check_targets(V, Y);
  if (V.cols() != V.rows() || pairs.k() != V.rows())
    throw InputError("the ridge path needs all {} eigenpairs, there are {}", V.rows(), pairs.k());
  if (static_cast<Index>(spectrum.g.size()) != pairs.k())
    throw InputError("the spectrum map was applied to {} eigenvalues, but there are {} eigenpairs",
                     spectrum.g.size(), pairs.k());
  rows_ = fetch(Y, V);
  modes_ = transposed_times(rows_);

  energy_.assign(static_cast<std::size_t>(V.cols()), 0);
  if (V.grid().row() == 0)  // every process row holds the same modes_
    for (Index o = 0; o < modes_.cols(); ++o)
      for (Index j = 0; j < modes_.rows(); ++j)
        energy_[static_cast<std::size_t>(V.col_map().global({j}).value)] +=
            static_cast<double>(modes_(j, o)) * static_cast<double>(modes_(j, o));
  V.grid().all().all_reduce(std::span<double>(energy_), comm::Op::sum);
}

template <class T>
Matrix<T> SpectralPath<T>::times(const Matrix<T>& B) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_rows(), B.cols(), T{0});
  la::gemm<T>(la::Trans::no, la::Trans::no, T{1}, V.local(), B.view(), T{0}, result.view());
  if (V.grid().active()) V.grid().row_comm().all_reduce(values(result), comm::Op::sum);
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::transposed_times(const Matrix<T>& B) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_cols(), B.cols(), T{0});
  la::gemm<T>(la::Trans::yes, la::Trans::no, T{1}, V.local(), B.view(), T{0}, result.view());
  if (V.grid().active()) V.grid().col_comm().all_reduce(values(result), comm::Op::sum);
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::squares(const Matrix<T>& weights) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_rows(), weights.cols(), T{0});
  Matrix<T> squared(V.local_rows(), std::min(kPanelColumns, V.local_cols()));
  for (Index first = 0; first < V.local_cols(); first += kPanelColumns) {
    const Index width = std::min(kPanelColumns, V.local_cols() - first);
    for (Index j = 0; j < width; ++j)
      for (Index i = 0; i < V.local_rows(); ++i) {
        const T v = V.local()(i, first + j);
        squared(i, j) = v * v;
      }
    la::gemm<T>(la::Trans::no, la::Trans::no, T{1},
                squared.view().block(0, 0, squared.rows(), width),
                weights.view().block(first, 0, width, weights.cols()), T{1}, result.view());
  }
  if (V.grid().active()) V.grid().row_comm().all_reduce(values(result), comm::Op::sum);
  return result;
}

/// weights(j, r) = weight(i, r) of the global index i of this rank's column j of V.
template <class T>
template <class F>
Matrix<T> SpectralPath<T>::weights(Index ridges, F&& weight) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_cols(), ridges);
  for (Index r = 0; r < ridges; ++r)
    for (Index j = 0; j < V.local_cols(); ++j)
      result(j, r) = static_cast<T>(weight(static_cast<std::size_t>(V.col_map().global({j}).value),
                                           static_cast<std::size_t>(r)));
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::combine(const Matrix<T>& weights) const {
  const Index c = modes_.cols();
  Matrix<T> weighted(modes_.rows(), c * weights.cols());
  for (Index r = 0; r < weights.cols(); ++r)
    for (Index o = 0; o < c; ++o)
      for (Index j = 0; j < modes_.rows(); ++j)
        weighted(j, r * c + o) = weights(j, r) * modes_(j, o);
  return times(weighted);
}

template <class T>
bool SpectralPath<T>::admissible(double ridge) const {
  const auto [least, largest] = std::minmax_element(spectrum_.g.begin(), spectrum_.g.end());
  const double resolution = 4.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * *largest;
  return ridge >= 0 && *least + ridge > resolution;
}

template <class T>
double SpectralPath<T>::rmse(const Matrix<T>& B, const Matrix<T>& diagonal, Index r) const {
  const Index c = modes_.cols();
  double sum = 0;
  if (pairs_.vectors.grid().col() == 0)  // every process column holds the same rows
    for (Index o = 0; o < c; ++o)
      for (Index i = 0; i < B.rows(); ++i) {
        const double error =
            static_cast<double>(B(i, r * c + o)) / static_cast<double>(diagonal(i, r));
        sum += error * error;
      }
  sum = pairs_.vectors.grid().all().all_reduce(sum, comm::Op::sum);
  return std::sqrt(sum / static_cast<double>(Y_.rows() * c));
}

template <class T>
std::vector<double> SpectralPath<T>::leave_one_out(std::span<const double> ridges) const {
  std::vector<double> scores;
  const auto panel = static_cast<std::size_t>(std::max(Index{1}, kPanelColumns / modes_.cols()));
  for (std::size_t first = 0; first < ridges.size(); first += panel) {
    const auto part = ridges.subspan(first, std::min(panel, ridges.size() - first));
    const auto W = weights(static_cast<Index>(part.size()), [&](std::size_t i, std::size_t r) {
      return 1 / (spectrum_.g[i] + part[r]);
    });
    const Matrix<T> B = combine(W);
    const Matrix<T> diagonal = squares(W);
    for (std::size_t r = 0; r < part.size(); ++r) {
      const double score = rmse(B, diagonal, static_cast<Index>(r));
      scores.push_back(admissible(part[r]) ? score_or_infinity(score) : kInfinity);
    }
  }
  return scores;
}

template <class T>
std::vector<double> SpectralPath<T>::gcv(std::span<const double> ridges) const {
  std::vector<double> scores;
  for (const double ridge : ridges) {
    double residual = 0, trace = 0;  // of I - H, over gamma^2 and gamma
    for (std::size_t i = 0; i < energy_.size(); ++i) {
      const double q = 1 / (spectrum_.g[i] + ridge);
      residual += q * q * energy_[i];
      trace += q;
    }
    const double score = static_cast<double>(Y_.rows()) / static_cast<double>(Y_.cols()) *
                         residual / (trace * trace);
    scores.push_back(admissible(ridge) ? score_or_infinity(score) : kInfinity);
  }
  return scores;
}

/// |V diag(g) V^T B + gamma B - Y|_F / |Y|_F for the columns of ridge r.
template <class T>
double SpectralPath<T>::residual(const Matrix<T>& B, std::span<const double> ridges,
                                 Index r) const {
  const Index c = modes_.cols();
  Matrix<T> part(B.rows(), c);
  std::copy(B.column(r * c), B.column(r * c) + B.rows() * c, part.data());
  Matrix<T> Z = transposed_times(part);
  for (Index o = 0; o < c; ++o)
    for (Index j = 0; j < Z.rows(); ++j)
      Z(j, o) *= static_cast<T>(
          spectrum_.g[static_cast<std::size_t>(pairs_.vectors.col_map().global({j}).value)]);
  const Matrix<T> KB = times(Z);
  double sums[2] = {0, 0};
  if (pairs_.vectors.grid().col() == 0)
    for (Index o = 0; o < c; ++o)
      for (Index i = 0; i < KB.rows(); ++i) {
        const double y = rows_(i, o);
        const double error = static_cast<double>(KB(i, o)) +
                             ridges[static_cast<std::size_t>(r)] * static_cast<double>(part(i, o)) -
                             y;
        sums[0] += error * error;
        sums[1] += y * y;
      }
  pairs_.vectors.grid().all().all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums[1] > 0 ? std::sqrt(sums[0] / sums[1]) : 0;
}

template <class T>
std::vector<Fit> SpectralPath<T>::fit(std::span<const double> ridges) const {
  const double mean_diagonal = std::reduce(spectrum_.lambda.begin(), spectrum_.lambda.end()) /
                               static_cast<double>(Y_.rows());
  for (const double ridge : ridges) {
    check_ridge(ridge);
    if (admissible(ridge)) continue;
    const auto [least, largest] = std::minmax_element(spectrum_.g.begin(), spectrum_.g.end());
    const double positive =
        40.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * *largest -
        std::min(0.0, *least);
    const double enough = round_up(
        std::max(1.01 * positive, kSafe * resolution<T>(Y_.rows(), std::abs(mean_diagonal))));
    throw RunError(
        "K_g + gamma I is not positive definite to working precision at gamma = {:.3g}: the "
        "smallest eigenvalue of K_g is {:.2g}; a ridge of {:.2g} would do (relative: {:.2g})",
        ridge, *least, enough, enough / mean_diagonal);
  }

  const DistMatrix<T>& V = pairs_.vectors;
  const Index c = modes_.cols();
  const bool plain = std::all_of(ratio_.begin(), ratio_.end(), [](double x) { return x == 1; });
  const std::vector<double> gcv_scores = gcv(ridges);
  std::vector<Fit> fits(ridges.size());
  const auto panel = static_cast<std::size_t>(std::max(Index{1}, kPanelColumns / c));
  for (std::size_t first = 0; first < ridges.size(); first += panel) {
    const auto part = ridges.subspan(first, std::min(panel, ridges.size() - first));
    const auto R = static_cast<Index>(part.size());
    const auto W =
        weights(R, [&](std::size_t i, std::size_t r) { return 1 / (spectrum_.g[i] + part[r]); });
    const Matrix<T> B = combine(W);
    const Matrix<T> diagonal = squares(W);
    const Matrix<T> SB =
        plain ? Matrix<T>() : combine(weights(R, [&](std::size_t i, std::size_t r) {
          return ratio_[i] / (spectrum_.g[i] + part[r]);
        }));
    const Matrix<T>& coefficients = plain ? B : SB;
    for (Index r = 0; r < R; ++r) {
      Fit& fit = fits[first + static_cast<std::size_t>(r)];
      DistMatrix<T> alpha(V.grid(), V.rows(), c, V.nb());
      for (Index j = 0; j < alpha.local_cols(); ++j)
        std::copy_n(coefficients.column(r * c + alpha.col_map().global({j}).value),
                    alpha.local_rows(), alpha.local().column(j));
      fit.ridge = part[static_cast<std::size_t>(r)];
      fit.alpha = to_rows(alpha, Y_.comm());
      fit.residual = residual(B, part, r);
      fit.residual_exact = true;
      fit.loo_rmse = rmse(B, diagonal, r);
      fit.gcv = gcv_scores[first + static_cast<std::size_t>(r)];
    }
  }
  return fits;
}

template <class T>
std::vector<double> SpectralPath<T>::rounding(Score score, std::span<const double> ridges) const {
  const double eta = static_cast<double>(std::numeric_limits<T>::epsilon()) *
                     std::max(*std::max_element(spectrum_.lambda.begin(), spectrum_.lambda.end()),
                              *std::max_element(spectrum_.g.begin(), spectrum_.g.end()));
  std::vector<double> errors;
  for (const double ridge : ridges) {
    double norm2 = 0, next2 = 0, trace = 0, trace2 = 0;  // |B|^2, |A^-1 B|^2, tr A^-1, tr A^-2
    for (std::size_t i = 0; i < energy_.size(); ++i) {
      const double q = 1 / (spectrum_.g[i] + ridge);
      norm2 += q * q * energy_[i];
      next2 += q * q * q * q * energy_[i];
      trace += q;
      trace2 += q * q;
    }
    const double half = eta * ((norm2 > 0 ? std::sqrt(next2 / norm2) : 0) + trace2 / trace);
    errors.push_back(kSumError + (score == Score::gcv ? 2 * half : half));
  }
  return errors;
}

template <class T>
std::vector<double> SpectralPath<T>::scores(Score score, std::span<const double> ridges) const {
  return score == Score::gcv ? gcv(ridges) : leave_one_out(ridges);
}

template <class T>
typename SpectralPath<T>::Selection SpectralPath<T>::select(Score score) const {
  const double mean_diagonal = std::reduce(spectrum_.lambda.begin(), spectrum_.lambda.end()) /
                               static_cast<double>(Y_.rows());
  const std::vector<double> ridges = ridge_grid(mean_diagonal);
  const std::vector<double> found = scores(score, ridges), errors = rounding(score, ridges);
  const std::size_t best = best_ridge(ridges, found, errors);
  const std::vector<Interval> s = intervals(found, errors);
  const auto finite = [&](std::size_t r) { return std::isfinite(found[r]); };
  std::size_t first = 0, last = s.size() - 1;
  while (!finite(first)) ++first;
  while (!finite(last)) --last;

  Selection selection{ridges[best], Edge::none, ridges[first], ridges[last]};
  const std::size_t left = std::max(best, first + 1) - 1, right = std::min(best + 1, last);
  const auto worse = [&](std::size_t r) { return r == best || s[r].certainly_above(s[best]); };
  if (worse(left) && worse(right) && left < right) {
    const auto at = [&](double log_ridge) {
      const double ridge = std::exp(log_ridge);
      const std::span<const double> one(&ridge, 1);
      return Interval(scores(score, one).front(), rounding(score, one).front());
    };
    const double refined = golden_section(std::log(ridges[left]), std::log(ridges[right]), at);
    const Interval there = at(refined);
    if (std::exp(refined) > ridges[best] ? !there.certainly_above(s[best])
                                         : s[best].certainly_above(there))
      selection.ridge = std::exp(refined);
  }

  const double least = least_high(s);
  std::size_t tied = best;  // the smallest of those next to each other
  while (tied > first && s[tied - 1].low <= least) --tied;
  const double within = 1 + 2 * kLogStep;
  if (selection.ridge * within >= selection.largest)
    selection.edge = Edge::largest;
  else if (tied == first && (best > first || selection.ridge <= selection.smallest * within))
    selection.edge = Edge::smallest;
  return selection;
}

template class SpectralPath<double>;
template class SpectralPath<float>;

}  // namespace mercer::krr
