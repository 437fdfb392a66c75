#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "mercer/base/cost.hpp"
#include "mercer/dist/row_block.hpp"
#include "mercer/kernel/kernel.hpp"
#include "mercer/net/network.hpp"
#include "mercer/net/parameters.hpp"

namespace mercer::net {

enum class Outputs {
  trace,  ///< k(x, z) = (1/c) sum_a <df_a(x)/dw, df_a(z)/dw>, the mean over outputs
  full    ///< rows are pairs (x, s) of an input and a seed of c numbers, d + c columns:
          ///< k = <d(s.f(x))/dw, d(s'.f(z))/dw>; one-hot seeds give the full kernel of n c rows
};

/// The empirical tangent kernel of a network at parameters w as a tile function: it is assembled,
/// applied, decomposed and used for predictions like every other kernel. For m rows it is the sum
/// over the layers of weights of (weight_scale^2 A A^T + bias_scale^2) o (B B^T), where A (m x
/// fan_in) are the layer's inputs and B (m x fan_out) the adjoints of its outputs before the
/// activation, backpropagated from the seeds (trace kernel: B of the c outputs side by side, and B
/// B^T divided by c). Of a convolution A(p) is the patch and B(p) the adjoint of output pixel p,
/// and its term is the sum over all pairs of pixels p, p' of (weight_scale^2 A(p).A'(p') +
/// bias_scale^2) B(p).B'(p'). J is never stored. For an antisymmetric network it is the mean over
/// the two copies; where these are equal to the bit, only one is evaluated. Evaluated in double;
/// the text holds the architecture and the parameters' hash.
///
/// A prepared row holds its input and, for each copy, the inputs of every layer but the first and
/// the adjoints of every layer but the last: c fan_out numbers, or fan_out for Outputs::full and at
/// the last hidden layer if it is dense, where the adjoints of the c outputs are one diagonal times
/// their readout weights and fold into one. Of a convolution of P pixels it holds P (fan_in + c
/// fan_out) numbers, or its gradients sum_p A(p) B(p)^T, c (fan_in + 1) fan_out numbers, whichever
/// makes an entry cheaper. An entry costs about twice as many flops as a row has numbers (pairs of
/// pixels: P times that). prepare(): a forward and c + 1 backward passes (one backward pass with
/// one output or one hidden layer, or for Outputs::full), in batches of rows within 32 MiB.
///
/// Local. Throws InputError where the number of parameters is not the network's; prepare() and
/// bytes_per_row() where the rows do not have the network's inputs.
std::shared_ptr<const kernel::Kernel> empirical_kernel(const Network& network,
                                                       std::vector<double> parameters,
                                                       Outputs outputs = Outputs::trace);

/// The network and parameters that `kernel` was made of by empirical_kernel(); nullopt for any
/// other kernel. Local, O(p).
std::optional<StoredNetwork> network_of(const kernel::Kernel& kernel);

/// The network of output `output` (from 0) alone: its last layer keeps that column. Its tangent
/// kernel is that of a single logit ([B]); at an antisymmetric start too. Throws InputError where
/// there is no such output. Local, O(p).
StoredNetwork single_output(const StoredNetwork& whole, Index output);

/// Rows for Outputs::full, n c x (d + c) by rows for X n x d and c = `outputs`: row i c + a is
/// (x_i, e_a). Collective.
dist::RowBlock<double> seeded_rows(const dist::RowBlock<double>& X, Index outputs);

/// f(X; w), n x c by rows for X n x d; w is the same on every rank. Collective. Throws InputError
/// where X does not have the network's inputs.
dist::RowBlock<double> outputs(const Network& network, std::span<const double> w,
                               const dist::RowBlock<double>& X);
/// Its cost for `rows` rows over so many ranks: Network::forward_flops() a row; the bytes are those
/// of w, of one pass and of f. Pure and local.
Cost outputs_cost(const Network& network, Index rows, int ranks);

}  // namespace mercer::net
