#include "mercer/msk/eigenspaces.hpp"

#include <cmath>

#include "mercer/base/error.hpp"

namespace mercer::msk {
namespace {

/// g does not jump where it changes by at most this many times the distance of two eigenvalues.
constexpr double kSteep = 16;

double at(std::span<const double> values, Index i) {  // i from 1
  return values[static_cast<std::size_t>(i - 1)];
}

/// A spectrum and the accuracy of its eigenvalues.
struct Known {
  std::span<const double> lambda;
  double next;  // lambda_(m+1); -infinity where lambda is the whole spectrum
  std::span<const double> residuals;
  double scale, floor, resolution, rounding;  // scale = |lambda_1|; all in the units of lambda

  Index count() const { return static_cast<Index>(lambda.size()); }
  double after(Index k) const { return k < count() ? at(lambda, k + 1) : next; }
  double error(Index i) const {
    return residuals.empty() ? rounding : std::max(rounding, at(residuals, i) * scale);
  }
  /// How far g_i is from `other`, beyond kSteep times the distance `gap` of the eigenvalues.
  double jump(double g_i, double other, double gap, Index i) const {
    return std::max(0.0, std::abs(g_i - other) - kSteep * std::max(gap, error(i)));
  }
};

Known known(std::span<const double> lambda, double next, std::span<const double> residuals,
            const CutOptions& options) {
  const double scale = lambda.empty() ? 0 : std::abs(lambda.front());
  double residual = 0;
  for (const double r : residuals) residual = std::isfinite(r) ? std::max(residual, r) : residual;
  const bool whole = static_cast<Index>(lambda.size()) == options.n;
  return {lambda,
          whole ? -std::numeric_limits<double>::infinity() : next,
          residuals,
          scale,
          std::max(0.0, options.mode_tolerance * scale),
          std::max(options.mode_tolerance, 4 * residual) * scale,
          4 * options.epsilon * scale};
}

/// Does g jump between a member s ... k of a cluster and the eigenvalue after k?
bool jumps(const Known& known, const ModifiedSpectrum& spectrum, Index s, Index k) {
  const double after = known.after(k);
  for (Index i = s; i <= k; ++i)
    if (at(known.lambda, i) > known.floor &&
        known.jump(at(spectrum.g, i), after, at(known.lambda, i) - after, i) > 0)
      return true;
  return false;
}

/// Gives g one value, its mean, on each eigenspace within 1 ... k where it has several. Returns the
/// number of such eigenspaces.
Index take_means(const Known& known, ModifiedSpectrum& spectrum) {
  const auto k = static_cast<Index>(spectrum.g.size());
  Index averaged = 0;
  for (Index s = 1, e; s <= k && at(known.lambda, s) > known.floor; s = e + 1) {
    e = std::min(end_of_cluster(known.lambda.first(spectrum.g.size()),
                                -std::numeric_limits<double>::infinity(), s, known.resolution),
                 k);
    while (e > s && at(known.lambda, e) <= known.floor) --e;
    if (e == s) continue;
    double least = at(spectrum.g, s), largest = least, sum = 0, error = 0;
    for (Index i = s; i <= e; ++i) {
      least = std::min(least, at(spectrum.g, i));
      largest = std::max(largest, at(spectrum.g, i));
      error = std::max(error, known.error(i));
      sum += at(spectrum.g, i);
    }
    // Relative changes of g and lambda are compared: 1/l counts as smooth, as l does.
    const double gap = std::max(at(known.lambda, s) - at(known.lambda, e), error);
    if (largest == least || (largest - least) / largest <= kSteep * gap / at(known.lambda, s))
      continue;
    ++averaged;
    for (Index i = s; i <= e; ++i)
      spectrum.g[static_cast<std::size_t>(i - 1)] = sum / static_cast<double>(e - s + 1);
  }
  return averaged;
}

double uncertainty(const Known& known, const ModifiedSpectrum& spectrum) {
  const auto k = static_cast<Index>(spectrum.g.size());
  const double after = known.after(k);
  if (!std::isfinite(after)) return 0;
  double worst = 0;
  for (Index i = 1; i <= k; ++i) {
    const double gap = at(known.lambda, i) - after, g = at(spectrum.g, i);
    const double jump = known.jump(g, after, gap, i);
    if (at(known.lambda, i) <= known.floor || jump == 0) continue;
    const double angle = std::min(1.0, known.error(i) / gap);
    worst = std::max(worst, angle * std::min(1.0, jump / std::max({g, after, known.rounding})));
  }
  return worst;
}

}  // namespace

Index end_of_cluster(std::span<const double> lambda, double next, Index k, double tolerance) {
  const auto m = static_cast<Index>(lambda.size());
  for (Index e = k; e <= m; ++e)
    if (!(at(lambda, e) - (e < m ? at(lambda, e + 1) : next) <= tolerance)) return e;
  return m + 1;
}

Index start_of_cluster(std::span<const double> lambda, Index k, double tolerance) {
  while (k > 1 && at(lambda, k - 1) - at(lambda, k) <= tolerance) --k;
  return k;
}

Cut cut_spectrum(const SpectrumMap& g, std::span<const double> lambda, double next,
                 std::span<const double> residuals, const CutOptions& options) {
  const auto m = static_cast<Index>(lambda.size());
  if (options.top < 1 || options.top > m)
    throw InputError("`top` {}: {} eigenpairs are known, give 1 ... {}", options.top, m, m);
  const Known spectrum = known(lambda, next, residuals, options);
  const auto map = [&](Index k) {
    const double after = k < m ? at(lambda, k + 1) : next;
    return g.apply(lambda.first(static_cast<std::size_t>(k)), after, k == options.n,
                   options.positivity, options.mode_tolerance);
  };
  Cut cut{.spectrum = map(options.top),
          .asked = options.top,
          .k = options.top,
          .resolution = spectrum.scale > 0 ? spectrum.resolution / spectrum.scale : 0,
          .agreement = options.agreement};
  const Index start = start_of_cluster(lambda, cut.k, spectrum.resolution);
  // Modes at or below the floor are left as they are: g ends there, within a cluster or not.
  if (spectrum.after(cut.k) > spectrum.floor && jumps(spectrum, cut.spectrum, start, cut.k)) {
    Index end = cut.k;
    while (end <= m && spectrum.after(end) > spectrum.floor &&
           at(lambda, end) - spectrum.after(end) <= spectrum.resolution)
      ++end;
    cut.before = start - 1;
    cut.open = end > m;
    if (!cut.open && end > cut.k) cut.spectrum = map(cut.k = end);
  }
  cut.averaged = take_means(spectrum, cut.spectrum);
  cut.uncertainty = uncertainty(spectrum, cut.spectrum);
  for (const double rest : lambda.subspan(static_cast<std::size_t>(cut.k))) {
    cut.spectrum.lambda.push_back(rest);
    cut.spectrum.g.push_back(rest);
  }
  return cut;
}

std::vector<std::string> Cut::notes() const {
  std::vector<std::string> lines;
  if (k > asked)
    lines.push_back(
        fmt::format("k = {} cuts an eigenspace (lambda_{} = lambda_{} to {:.0e} lambda_1) on which "
                    "g jumps: extended to k = {}, for which g is evaluated",
                    asked, asked, asked + 1, resolution, k));
  if (averaged > 0)
    lines.push_back(fmt::format(
        "g has several values on {} eigenspace{} of equal eigenvalues: their mean is taken",
        averaged, averaged == 1 ? "" : "s"));
  return lines;
}

std::string Cut::warning() const {
  if (uncertainty <= agreement) return "";
  return fmt::format(
      "g jumps between lambda_{} and lambda_{}, whose eigenvectors the solver's residuals mix: "
      "predictions are determined to about {:.0e} of the targets; a larger gap, or a g that is "
      "continuous there (flat, power:p), has no such limit",
      k, k + 1, uncertainty);
}

void refuse(const Cut& cut, const SpectrumMap& g, Index n, const std::string& where) {
  const auto m = static_cast<Index>(cut.spectrum.lambda.size());
  throw InputError(
      "`top` {}: cuts an eigenspace on which g = {} jumps and which continues past eigenvalue {} "
      "(eigenvalues equal to {:.0e} lambda_1){}; `top` {} would do",
      cut.asked, g.text(), m, cut.resolution, where.empty() ? "" : ": " + where,
      cut.before > 0 ? cut.before : n);
}

}  // namespace mercer::msk
