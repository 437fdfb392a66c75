#pragma once

#include <span>
#include <vector>

#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {

// The formulas as they are in the literature, for one pair of inputs, in long double: what
// Kernel::reference() returns. Slow, and independent of the tile loops: only the activations'
// values (arch) and step_quadrature() are shared with prepare().

/// A layer's units for a pair of inputs: second moments, tangent kernel, means.
struct ReferenceState {
  long double qx = 0, K = 0, qz = 0;
  long double T = 0;
  long double mx = 0, mz = 0;
};
/// E[rho(u) rho(v)] and E[rho'(u) rho'(v)], (u, v) ~ N(0, [[qx, K], [K, qz]]); E[rho(u)].
struct ReferenceDual {
  long double value = 0, slope = 0;
};
ReferenceDual reference_dual(const arch::Activation& rho, long double qx, long double K,
                             long double qz);
long double reference_mean(const arch::Activation& rho, long double q);

/// Advances the state by layers on rows. `weight_terms`: of these layers.
void reference_rows(std::span<const arch::Layer> layers, const arch::Architecture& architecture,
                    std::span<const double> weight_terms, ReferenceState& state);
/// NTK (`tangent`) or NNGP of an architecture of images, by the recursion on pairs of
/// pixels, those alone that the readout needs. Microseconds for each of them and each layer.
long double reference_images(const arch::Architecture& architecture, bool tangent,
                             std::span<const double> weight_terms, std::span<const double> x,
                             std::span<const double> z);
/// NTK (`tangent`) or NNGP by the layer recursion (Jacot, Gabriel and Hongler 2018) in covariances.
/// With q_x, q_z the variances of a layer's units and K, T the covariance and the tangent kernel:
///   input       q_x = |x|^2/d, K = <x, z>/d, T = 0
///   dense       K <- sigma_w^2 K + sigma_b^2, q likewise, T <- K_new + sigma_w^2 T
///   activation  T <- T E[rho'(u) rho'(v)], K <- E[rho(u) rho(v)],
///               (u, v) ~ N(0, [[q_x, K], [K, q_z]])
///   res         sums of skip and branch; K, with their means mu and nu, + mu_x nu_z + nu_x mu_z
/// `weight_terms`: of a network in the standard parametrisation (steps.hpp), where
/// T <- sigma_w^2 (term K_old + T); else empty. Closed forms; nested quadrature for tanh, softplus
/// and sigmoid (error 1e-12, milliseconds).
long double reference_network(const arch::Architecture& architecture, bool tangent,
                              std::span<const double> weight_terms, std::span<const double> x,
                              std::span<const double> z);
/// gaussian exp(-|x - z|^2/(2 h^2)), or laplace exp(-|x - z|/h).
long double reference_distance(Kind kind, double bandwidth, std::span<const double> x,
                               std::span<const double> z);
/// <x, z>.
long double reference_linear(std::span<const double> x, std::span<const double> z);

}  // namespace mercer::kernel
