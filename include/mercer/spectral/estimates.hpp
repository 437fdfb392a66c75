#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "mercer/gram/operator.hpp"

/// Estimates of the whole spectrum from products with K alone, without a decomposition.
namespace mercer::spectral {

struct Estimate {
  double value = 0;
  /// One standard deviation of the mean over the probes, estimated from their spread; for counts
  /// plus the uncertainty of the quadrature.
  double error = 0;
};

struct EstimateOptions {
  Index probes = 32;  ///< Rademacher vectors z, one block; at least 2
  Index steps = 60;   ///< Lanczos steps for each, fully reorthogonalised; at least 1
  std::uint64_t seed = 0;
  /// Called on every rank with the share done; may be empty. Must not communicate.
  std::function<void(double)> progress = {};
};

/// sum_i K_ii, from the diagonal. Collective.
double trace(const gram::Operator& K);

/// Stochastic Lanczos quadrature (Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic
/// Lanczos quadrature", SIAM J. Matrix Anal. Appl. 38 (2017), algorithm 1): for every probe z the
/// nodes theta_j and weights tau_j^2 of a Gauss quadrature of z's spectral measure, so that
///
///     tr f(K) ~ (n/probes) sum_z sum_j tau_j^2 f(theta_j).
///
/// For one probe the quadrature is exact for polynomials f of degree 2 steps - 1, and for every f
/// once an invariant subspace is reached (at the latest for steps = n). All members are local.
struct Quadrature {
  Index n = 0;
  std::vector<std::vector<double>> nodes, weights;  ///< one list a probe, ascending, on every rank
  std::vector<bool> complete;                       ///< the probe's subspace is invariant
  /// The least Ritz value theta, an upper bound of lambda_min, and |K u - theta u| of its vector:
  /// some eigenvalue is no farther than that from theta.
  double smallest = 0, smallest_residual = 0;
  double largest = 0;  ///< the largest Ritz value, a lower bound of lambda_max

  /// An estimate of tr f(K). Throws RunError where f is not finite at a node.
  Estimate trace_of(const std::function<double(double)>& f) const;
  /// sum_i log(lambda_i + ridge). Throws RunError where a node plus the ridge is not positive.
  Estimate log_determinant(double ridge) const;
  /// tr K (K + ridge I)^-1: the statistical dimension. Throws RunError likewise.
  Estimate statistical_dimension(double ridge) const;
  /// The number of eigenvalues below each of `points`: n times the cumulative spectral density.
  /// Between two nodes of a probe the count is known only up to their weights (Chebyshev, Markov,
  /// Stieltjes): it is interpolated linearly between the middles of the two steps, and half the sum
  /// of both weights, averaged over the probes, is added to the error.
  std::vector<Estimate> count_below(const std::vector<double>& points) const;
};

/// Collective. Cost: `steps` products of K with a block of `probes` vectors, 8 n probes steps^2/2
/// flops of reorthogonalisation; sent: at step j two sums of probes x j numbers over the ranks.
/// Memory a rank: its rows of probes x (steps + 3) vectors. The same results, to rounding, on every
/// number of ranks. Throws InputError (options, n = 0), RunError where products are not finite.
Quadrature lanczos_quadrature(const gram::Operator& K, const EstimateOptions& options = {});

}  // namespace mercer::spectral
