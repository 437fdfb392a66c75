#pragma once

#include "mercer/base/cost.hpp"
#include "mercer/net/network.hpp"

/// What passes through a network cost, before anything is allocated. Pure and local. Notation: P =
/// `ranks`; `rows` are those of all ranks together. T = double or float.
namespace mercer::net {

/// `flops` of the GEMMs of a pass over all ranks, which reach 0.85 of gemm's rate.
template <class T>
Cost gemm_cost(double flops, double ranks);
/// How often a step reads or writes the value of each unit in a row beside its GEMMs: forward bias
/// and activation, backward the derivative. In networks of few inputs this is most of the time.
inline constexpr double kPassesOverUnits = 8;
/// Evaluator::outputs() and gradient() with kept activations: Network::gradient_flops() a row.
template <class T>
Cost gradient_cost(const Network& network, Index rows, double ranks);
/// J^T s and J u with kept activations (gradient() and jvp()): 2 Network::forward_flops() a row
/// each.
template <class T>
Cost derivatives_cost(const Network& network, Index rows, double ranks);

}  // namespace mercer::net
