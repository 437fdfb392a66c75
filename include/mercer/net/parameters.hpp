#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mercer/io/hdf5.hpp"
#include "mercer/net/network.hpp"

namespace mercer::net {

/// Weight files: /parameters/layer0/W (fan_in x fan_out), /parameters/layer0/b (fan_out), ... in
/// the order of the architecture text, the N(0, 1)-scaled weights in the NTK parametrisation, with
/// the attributes `architecture`, `weight_std`, `bias_std`, `parametrization` and `start` at
/// /parameters. The second copy of an antisymmetric network lies under /parameters/mirror. A file
/// written elsewhere needs only the datasets and `architecture`: sqrt(2), 0, ntk and gaussian stand
/// for what is left out, or the caller's deviations.

/// Writes w, which is the same on every rank. Collective.
template <class T>
void write(io::Hdf5File& file, const Network& network, std::span<const T> w);

struct StoredNetwork {
  Network network;
  std::vector<double> parameters;  ///< on every rank
};
/// `left_out`: the deviations where the file states none. Throws InputError: no /parameters, no
/// architecture, a layer that is missing or of another shape than the architecture says (both
/// shapes named), values that are not finite. Collective.
StoredNetwork read_network(const io::Hdf5File& file, const arch::Options& left_out = {});

/// The parameters alone, for a network that is known. A file of one copy serves both copies of an
/// antisymmetric network. Throws InputError where the file's architecture or parametrisation is
/// another one, or a weight_std or bias_std that it states. Collective.
std::vector<double> read_parameters(const io::Hdf5File& file, const Network& network);

/// A hash of the parameters' bits, the same on every rank that holds the same ones. Local.
template <class T>
std::uint64_t hash(std::span<const T> w);

}  // namespace mercer::net
