#include "mercer/spectral/eigenpairs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backends.hpp"
#include "checks.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/krylov.hpp"
#include "mercer/spectral/signs.hpp"

namespace mercer::spectral {
namespace {

using dist::DistMatrix;

/// The largest residual and errors of orthogonality and trace that are accepted: by default 1e-12 n
/// in double precision, and 1.2e-5 sqrt(n), the growth of its rounding errors, in single.
template <class T>
double allowed(const Options& options, Index n) {
  const double size = static_cast<double>(std::max<Index>(n, 1));
  if (std::is_same_v<T, double>) return options.tolerance * size;
  return options.tolerance * 1e14 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
         std::sqrt(size);
}

/// The tolerance of a Krylov solve: well below what verify() allows.
template <class T>
double krylov_tolerance(const Options& options, Index n) {
  return std::clamp(0.1 * allowed<T>(options, n), 1e-13, options.krylov_tolerance);
}

template <class T>
Index checked_top(const DistMatrix<T>& K, const Options& options) {
  if (K.rows() != K.cols())
    throw InputError("eigenpairs: K is {} x {}, it must be square", K.rows(), K.cols());
  if (options.top < 0) return K.rows();
  if (options.top > K.rows() || (options.top == 0 && K.rows() > 0))
    throw InputError("`top` {}: K has n = {} eigenpairs, ask for 1 to {}", options.top, K.rows(),
                     K.rows());
  return options.top;
}

Choice resolved(Index n, Index k, dist::GridShape shape, bool single, const Options& options) {
  if (options.method == Method::automatic) {
    auto choice = choose(n, k, options.vectors, shape, single);
    choice.reason = "auto: " + choice.reason;
    return choice;
  }
  Choice choice{options.method, 0, options.reason.empty() ? "asked for" : options.reason};
  const bool elpa = options.method == Method::elpa1 || options.method == Method::elpa2;
  if (elpa && single && !la::elpa_build().single_precision)
    choice = {Method::scalapack, 0,
              fmt::format("{} was asked for, but this ELPA has no single precision",
                          name(options.method))};
  if (options.method == Method::lapack && n > 32766)
    throw InputError("`method` lapack: n = {} is beyond LAPACK's 32-bit lengths (32766)", n);
  return choice;
}

template <class T>
void negate(DistMatrix<T>& K) {
  T* entry = K.data();
  for (Index i = 0, size = K.local_rows() * K.local_cols(); i < size; ++i) entry[i] = -entry[i];
}

/// The checks. On failure all ranks throw the same RunError, because they all have the same
/// figures.
template <class T>
void verify(Eigenpairs<T>& pairs, const Evidence<T>& evidence, std::span<const double> all_values,
            const Options& options) {
  const Index n = pairs.n();
  const double limit = allowed<T>(options, n);
  const double scale = pairs.values[0] > 0 ? pairs.values[0]
                       : evidence.norm > 0 ? evidence.norm
                                           : 1;
  double residual = 0, square_error = 0;
  if (options.vectors) {
    pairs.residuals = estimated_residuals(evidence, pairs.vectors, pairs.values, scale);
    pairs.orthogonality = measured_orthogonality(pairs.vectors);
    residual = largest(pairs.residuals);
  }
  double trace_error = 0;
  if (static_cast<Index>(all_values.size()) == n) {
    double sum = 0, squares = 0;
    for (const double v : all_values) sum += v, squares += v * v;
    const double norm2 = evidence.norm * evidence.norm;
    trace_error = std::abs(sum - evidence.trace) / std::max(std::abs(evidence.trace), scale);
    square_error = std::abs(squares - norm2) / std::max(norm2, scale * scale);
    pairs.trace_error = trace_error;
  }
  const bool ok = residual <= limit && pairs.orthogonality <= limit && trace_error <= limit &&
                  square_error <= 2 * limit && std::isfinite(pairs.next);
  if (!ok)
    throw RunError(
        "the eigenpairs of {} failed Mercer's check (allowed {:.1e}): largest residual {:.2e} "
        "lambda_1, max |V^T V - I| {:.2e}, trace off by {:.2e}, sum of squares off by {:.2e}; K "
        "must be symmetric with both triangles filled: if it is, try another `method`",
        name(pairs.method), limit, residual, pairs.orthogonality, trace_error, square_error);
}

/// The top `count` values, descending (all n where the solver computes all), and k vectors.
template <class T>
Lowest<T> solve_top(DistMatrix<T>&& K_in, Index count, Index k, const Options& options,
                    Method method, const Placement& place) {
  DistMatrix<T> K = std::move(K_in);
  // -K: its lowest pairs, ascending, are the top pairs of K, descending.
  negate(K);
  auto result = solve_lowest(std::move(K), count, k, options.vectors, method, place);
  for (double& value : result.values) value = -value;
  return result;
}

/// The same from products with K; a warning about a cluster that k cuts is appended to `reason`.
template <class T>
Lowest<T> solve_by_krylov(DistMatrix<T>&& K_in, Index k, const Options& options,
                          std::string& reason) {
  const DistMatrix<T> K = std::move(K_in);
  const TopPairs top =
      krylov(gram::MatrixOperator<T>(K), {.top = k,
                                          .tolerance = krylov_tolerance<T>(options, K.rows()),
                                          .seed = options.seed,
                                          .say = options.say});
  if (!top.warning.empty()) reason += "; " + top.warning;
  auto pairs = on_grid<T>(top, K.rows(), K.grid(), K.nb());
  if (k < K.rows()) pairs.values.push_back(pairs.next);
  if (!options.vectors) pairs.vectors = DistMatrix<T>(K.grid(), K.rows(), 0, K.nb());
  return {std::move(pairs.values), std::move(pairs.vectors)};
}

}  // namespace

template <class T>
Eigenpairs<T> eigenpairs(DistMatrix<T>&& K_in, const Options& options) {
  const Timer timer;
  const Index k = checked_top(K_in, options);
  DistMatrix<T> K = std::move(K_in);
  const dist::ProcessGrid& grid = K.grid();
  const Index n = K.rows(), nb = K.nb(), count = std::min(k + 1, n);
  auto say = [&](const std::string& text) {
    if (options.say && grid.all().root()) options.say(text);
  };

  const Choice choice = resolved(n, k, grid.shape(), std::is_same_v<T, float>, options);
  Eigenpairs<T> pairs{
      {}, 0, DistMatrix<T>(grid, n, 0, nb), {}, false, -1, 0, -1, choice.method, choice.reason, 0};
  if (n == 0) return pairs;
  const Placement place = placement(choice.method, n, nb, grid.shape());
  if (!place.why.empty()) pairs.reason += "; " + place.why;
  say(fmt::format("eigenpairs: {} of {} by {} ({})", k, n, name(choice.method), pairs.reason));

  const Evidence<T> evidence = take_evidence(K, options.seed);
  pairs.trace = evidence.trace;
  if (!std::isfinite(evidence.norm))
    throw RunError("eigenpairs: K has entries that are not finite numbers (or overflows)");

  const Timer solving;
  auto top = choice.method == Method::krylov
                 ? solve_by_krylov(std::move(K), k, options, pairs.reason)
                 : solve_top(std::move(K), count, k, options, choice.method, place);
  pairs.solve_seconds = solving.seconds();
  pairs.values.assign(top.values.begin(), top.values.begin() + k);
  pairs.next = top.values[static_cast<std::size_t>(count - 1)];
  pairs.vectors = std::move(top.vectors);
  fix_signs(pairs.vectors);

  if (options.vectors)
    say("eigenpairs: checking residuals and orthogonality");
  else if (std::ssize(top.values) == n)
    say("eigenpairs: checking trace and norm");
  verify(pairs, evidence, top.values, options);
  pairs.seconds = timer.seconds();
  return pairs;
}

double rounding_residual(Index n, bool single_precision) {
  const double eps = single_precision ? std::numeric_limits<float>::epsilon()
                                      : std::numeric_limits<double>::epsilon();
  return 10 * std::sqrt(static_cast<double>(std::max<Index>(n, 1))) * eps;
}

std::string name(Method method) {
  switch (method) {
    case Method::automatic:
      return "auto";
    case Method::elpa1:
      return "elpa1";
    case Method::elpa2:
      return "elpa2";
    case Method::scalapack:
      return "scalapack";
    case Method::lapack:
      return "lapack";
    case Method::krylov:
      return "krylov";
  }
  return "?";
}

Method parse_method(std::string_view text) {
  for (const Method m : {Method::automatic, Method::elpa1, Method::elpa2, Method::scalapack,
                         Method::lapack, Method::krylov})
    if (text == name(m)) return m;
  throw InputError("`method` {}: unknown, give auto, elpa1, elpa2, scalapack, lapack or krylov",
                   text);
}

template Eigenpairs<double> eigenpairs(DistMatrix<double>&&, const Options&);
template Eigenpairs<float> eigenpairs(DistMatrix<float>&&, const Options&);

}  // namespace mercer::spectral
