#pragma once

#include <memory>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "mercer/kernel/kernel.hpp"
#include "mercer/net/network.hpp"

namespace mercer::net {

enum class Outputs {
  trace,  ///< k(x, z) = (1/c) sum_a <df_a(x)/dw, df_a(z)/dw>, the mean over outputs
  full    ///< rows are pairs (x, s) of an input and a seed of c numbers, d + c columns:
          ///< k = <d(s.f(x))/dw, d(s'.f(z))/dw>; one-hot seeds give the full kernel of n c rows
};

/// The empirical tangent kernel of a network at parameters w as a tile function, so that it is
/// assembled, applied, decomposed and predicted with like every other kernel: per dense layer
/// (A A^T weight_scale^2 + bias_scale^2) o (B B^T), A the layer's inputs, B the signals
/// backpropagated from the outputs (side by side for the c seeds of the trace kernel), summed over
/// the layers; J is never stored. For an antisymmetric network the mean over its two copies, one
/// copy where both are equal to the bit. Evaluated in double; the text holds the architecture and
/// the parameters' hash.
///
/// A prepared row holds, for each copy, the inputs of every layer but the first, and the signals of
/// every layer but the last: c fan_out numbers, fan_out at the last hidden layer, where the c
/// outputs' signals are one diagonal times their readout weights and are folded into one. An entry
/// costs twice as many flops as a row has numbers. prepare(): a forward and c + 1 backward passes
/// (one with one output or one hidden layer, or for Outputs::full), in batches of rows within 32
/// MiB. prepare() and bytes_per_row() throw InputError where the rows do not have the network's
/// inputs.
std::shared_ptr<const kernel::Kernel> empirical_kernel(const Network& network,
                                                       std::vector<double> parameters,
                                                       Outputs outputs = Outputs::trace);

/// Rows for Outputs::full: row i c + a is (x_i, e_a). Collective. n c x (d + c) by rows.
dist::RowBlock<double> seeded_rows(const dist::RowBlock<double>& X, Index outputs);

/// f(X; w), n x c by rows. Throws InputError where X does not have the network's inputs.
/// Collective.
dist::RowBlock<double> outputs(const Network& network, std::span<const double> w,
                               const dist::RowBlock<double>& X);

}  // namespace mercer::net
