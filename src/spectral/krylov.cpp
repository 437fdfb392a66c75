#include "mercer/spectral/krylov.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "checks.hpp"
#include "krylov_run.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/signs.hpp"

namespace mercer::spectral {
namespace {

constexpr Index kPanel = 512;

Index most_products(const KrylovOptions& options, KrylovSizes sizes, Index n) {
  if (options.max_products > 0) return options.max_products;
  return std::max(100 * (options.top + 1) + 40 * sizes.block, std::min<Index>(2 * n, 20000));
}

void check_options(const gram::Operator& K, const KrylovOptions& options) {
  const Index n = K.size();
  if (options.top < 1 || options.top > n)
    throw InputError("`top` {}: K has n = {} eigenpairs, ask for 1 to {}", options.top, n, n);
  const bool reachable = options.tolerance >= 1e-13 && options.tolerance < 1;
  if (!reachable)
    throw InputError("`tolerance` {}: block Krylov reaches residuals of 1e-13 lambda_1 at best",
                     options.tolerance);
  if (options.block < 0 || options.basis < 0 || options.max_products < 0)
    throw InputError("krylov: block {}, basis {}, max_products {}: give 0 (chosen) or more",
                     options.block, options.basis, options.max_products);
  comm::together(K.comm(), [&] {
    if (options.start.cols > 0 && options.start.rows != K.local_rows())
      throw InputError("krylov: start vectors of {} rows on a rank that has {}", options.start.rows,
                       K.local_rows());
  });
}

Matrix<double> copy_of(MatrixView<const double> A) {
  Matrix<double> result(A.rows, A.cols);
  for (Index j = 0; j < A.cols; ++j) std::copy_n(A.column(j), A.rows, result.column(j));
  return result;
}

/// Rounds every number to single precision: a relative error of at most 2^-24.
void round_to_single(MatrixView<double> V) {
  for (Index j = 0; j < V.cols; ++j)
    for (Index i = 0; i < V.rows; ++i) V(i, j) = static_cast<double>(static_cast<float>(V(i, j)));
}

/// max |V^T V - I|; infinite if there is a NaN. n k^2 flops. Collective.
double orthogonality_of(const comm::Communicator& comm, MatrixView<const double> V) {
  double worst = 0;
  for (Index first = 0; first < V.cols; first += kPanel) {
    const Index width = std::min(kPanel, V.cols - first);
    const Matrix<double> G =
        inner(comm, V.block(0, 0, V.rows, first + width), V.block(0, first, V.rows, width));
    for (Index j = 0; j < width; ++j)
      for (Index i = 0; i < G.rows(); ++i) {
        const double error = std::abs(G(i, j) - (i == first + j ? 1.0 : 0.0));
        if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
      }
  }
  return worst;
}

/// A message where lambda_k and lambda_(k+1) belong to one cluster, which names its eigenvalues;
/// else empty. `values`: at least k + 1 of them, descending. The limit on relative gaps is well
/// below the mean gap of a smooth spectrum, about 1/k.
std::string cut_cluster(const std::vector<double>& values, Index k) {
  const double limit = std::min(1e-3, 0.1 / static_cast<double>(k));
  const auto close = [&](Index i) {  // lambda_i and lambda_(i+1), counted from 1
    const double above = values[static_cast<std::size_t>(i - 1)];
    return above > 0 && above - values[static_cast<std::size_t>(i)] <= limit * above;
  };
  if (k >= static_cast<Index>(values.size()) || !close(k)) return "";
  Index first = k;
  while (first > 1 && close(first - 1)) --first;
  return fmt::format(
      "eigenvalues {} to {} (at least) are equal within {:.1g} from one to the next: k = {} cuts "
      "them, and which of their eigenvectors are among the top k is arbitrary{}",
      first, k + 1, limit, k,
      first > 1 ? fmt::format("; k = {} does not", first - 1) : std::string());
}

}  // namespace

std::vector<double> KrylovState::numbers() const {
  std::vector<double> values;
  for (const Index count : {products, restarts, columns, multiplied, locked, drawn, settled, guard,
                            converged, next_check, checked})
    values.push_back(static_cast<double>(count));
  values.push_back(checked_residual);
  return values;
}

void KrylovState::set_numbers(std::span<const double> numbers) {
  Index* const counts[] = {&products, &restarts, &columns,   &multiplied, &locked, &drawn,
                           &settled,  &guard,    &converged, &next_check, &checked};
  if (numbers.size() != std::size(counts) + 1)
    throw InputError("krylov: a state of {} numbers, expected {}", numbers.size(),
                     std::size(counts) + 1);
  for (std::size_t i = 0; i < std::size(counts); ++i)
    *counts[i] = static_cast<Index>(std::llround(numbers[i]));
  checked_residual = numbers.back();
}

KrylovSizes krylov_sizes(Index n, int ranks, const KrylovOptions& options) {
  const Index target = std::min(options.top + 1, n);
  KrylovSizes sizes;
  sizes.block = options.block;
  if (sizes.block == 0) {
    sizes.block = std::clamp<Index>(ceil_div(target, 160) * 8, target < 16 ? 8 : 16, 64);
    // About (2.7 k/b + 8) products, each as expensive as b + fixed_columns columns: the total is
    // least for b^2 = k fixed_columns/3.
    const double wide = std::sqrt(static_cast<double>(target) * options.fixed_columns / 3);
    const auto wider = static_cast<Index>(std::min(wide, static_cast<double>(target))) / 8 * 8;
    sizes.block = std::max(sizes.block, wider);
  }
  sizes.block = std::min(sizes.block, n);
  const auto least_of = [&](Index block) { return std::min(n, target + 3 * block); };
  if (options.block == 0 && options.basis_bytes > 0)  // a narrower block where memory is short
    while (sizes.block > 8 &&
           krylov_bytes(n, options.top, ranks, {sizes.block, least_of(sizes.block)}) >
               options.basis_bytes)
      sizes.block = std::max<Index>(8, sizes.block / 16 * 8);
  const Index least = least_of(sizes.block);
  const Index chosen = std::max(4 * target, target + 8 * sizes.block);
  sizes.basis = std::clamp(options.basis > 0 ? options.basis : chosen, least, n);
  if (options.basis_bytes > 0) {
    const auto fits = [&](Index basis) {
      return krylov_bytes(n, options.top, ranks, {sizes.block, basis}) <= options.basis_bytes;
    };
    if (!fits(least))
      throw MemoryError(
          "krylov: the top {} of n = {} need a basis of at least {} columns, {} a rank; {} are "
          "allowed: use more ranks, a smaller `top` or a smaller block",
          options.top, n, least,
          format_bytes(krylov_bytes(n, options.top, ranks, {sizes.block, least})),
          format_bytes(options.basis_bytes));
    Index low = least, high = sizes.basis;  // the largest that fits
    while (low < high) {
      const Index middle = low + (high - low + 1) / 2;
      if (fits(middle))
        low = middle;
      else
        high = middle - 1;
    }
    sizes.basis = low;
  }
  return sizes;
}

double krylov_bytes(Index n, Index k, int ranks, KrylovSizes sizes) {
  const double rows = static_cast<double>(ceil_div(n, ranks)), b = static_cast<double>(sizes.block),
               basis = static_cast<double>(sizes.basis);
  const double panel = rows * (basis + (sizes.basis == n ? b : 0) + 2 * b + 3 * 16 + 1);
  const double small = 5 * basis * basis + 6 * b * b;
  return 8 * (panel + rows * static_cast<double>(k) + small);
}

Matrix<double> warm_start(const TopPairs& pairs) {
  const Index k = pairs.vectors.cols();
  Matrix<double> start(pairs.vectors.rows(), k + pairs.next_vector.cols());
  for (Index j = 0; j < start.cols(); ++j)
    std::copy_n(j < k ? pairs.vectors.column(j) : pairs.next_vector.column(j - k), start.rows(),
                start.column(j));
  return start;
}

namespace {

using Say = std::function<void(const std::string&)>;

/// Iterates until `run` has converged. False: stopped by the checkpoint function, or interrupted.
bool iterate(KrylovRun& run, const KrylovOptions& options, KrylovSizes sizes, Index most,
             const Say& say) {
  for (;;) {
    if (run.state().products >= most)
      throw RunError(
          "krylov: no convergence to {:.1e}: {}; give a larger basis than {} columns, "
          "another block than {}, more products or a larger tolerance",
          options.tolerance, run.text(), sizes.basis, sizes.block);
    try {
      run.multiply();
    } catch (const Error& error) {  // on all ranks, before the state changes
      if (error.code() != ExitCode::interrupted || !options.checkpoint) throw;
      if (run.state().products == 0)
        throw Error(ExitCode::interrupted, "interrupted in the first product: nothing is kept");
      options.checkpoint(run.state());
      return false;
    }
    if (run.check_due()) {
      run.rayleigh_ritz();
      say(run.text());
      if (run.converged()) {
        if (!run.may_lack_copies()) return true;
        say(fmt::format("{} or more equal eigenvalues: looking for more copies", sizes.block));
        run.start_beside();
      } else if (run.full()) {
        run.restart();
      }
    }
    if (options.progress)
      options.progress(run.state().products,
                       std::min(options.top, run.state().converged + run.state().locked),
                       run.state().checked_residual);
    if (options.checkpoint && options.checkpoint(run.state())) return false;
  }
}

/// The pairs of a run that has converged, their residuals, orthogonality and the trace. Collective.
void collect(KrylovRun& run, const gram::Operator& K, const KrylovOptions& options,
             TopPairs& pairs) {
  const Index k = options.top;
  const double scale = run.scale();
  pairs.values = run.collect();
  pairs.warning = cut_cluster(pairs.values, k);
  pairs.next = pairs.values.back();
  pairs.values.resize(static_cast<std::size_t>(k));
  const auto V = run.vectors(k);
  if (options.single_vectors) round_to_single(V);
  fix_signs(K.comm(), K.first_row(), run.vectors(run.target()));
  comm::together(K.comm(), [&] {
    pairs.vectors = copy_of(V);
    pairs.next_vector = copy_of(run.vectors(run.target()).block(0, k, V.rows, run.target() - k));
  });
  pairs.residuals = run.probe_residuals(pairs.values);
  for (double& r : pairs.residuals) r /= scale;
  pairs.orthogonality = orthogonality_of(K.comm(), V);
  pairs.trace = trace(K);
  const double rounding = options.single_vectors ? std::numeric_limits<float>::epsilon() : 0;
  const double residual = largest(pairs.residuals);
  const double limit = 3 * options.tolerance + 1e-13 + 2 * rounding;
  const bool ok = residual <= limit && pairs.orthogonality <= 1e-12 + 2 * rounding;
  if (!ok)
    throw RunError(
        "krylov: the eigenpairs failed Mercer's check: largest residual {:.2e} lambda_1 (allowed "
        "{:.1e}), max |V^T V - I| {:.2e}: K must be symmetric",
        residual, limit, pairs.orthogonality);
}

}  // namespace

TopPairs krylov(const gram::Operator& K, const KrylovOptions& options) {
  const Timer timer;
  const Index n = K.size();
  TopPairs pairs{.n = n};
  if (n == 0) return pairs;
  check_options(K, options);
  const Say say = [&](const std::string& text) {
    if (options.say && K.comm().root()) options.say("krylov: " + text);
  };
  const KrylovSizes sizes = krylov_sizes(n, K.comm().size(), options);
  pairs.block = sizes.block, pairs.basis = sizes.basis;
  say(fmt::format(
      "the top {} of {}, blocks of {}, at most {} columns, residuals to {:.1e} lambda_1",
      options.top, n, sizes.block, sizes.basis, options.tolerance));
  KrylovRun run(K, options, sizes);
  pairs.finished = iterate(run, options, sizes, most_products(options, sizes, n), say);
  pairs.products = run.state().products, pairs.restarts = run.state().restarts;
  if (pairs.finished) collect(run, K, options, pairs);
  pairs.seconds = timer.seconds();
  return pairs;
}

}  // namespace mercer::spectral
