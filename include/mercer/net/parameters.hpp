#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mercer/io/hdf5.hpp"
#include "mercer/net/network.hpp"

namespace mercer::net {

/// Weight files: /parameters/layer0/W (fan_in x fan_out, of a convolution f1 x f2 x C x C_out),
/// /parameters/layer0/b (fan_out), ... in the order of the architecture text, with the attributes
/// `architecture`, `weight_std`, `bias_std`, `parametrization`, `start` and, for layers of images,
/// `image` ("28x28x1") at /parameters. In the NTK parametrisation W is stored without its factor
/// sigma_w/sqrt(fan_in). A dense layer after flatten takes its inputs in the order H, W, C. The
/// second copy of an antisymmetric network is under /parameters/mirror. A file written elsewhere
/// needs only the datasets and `architecture`, and may have its attributes at the root. Defaults of
/// the others: weight_std sqrt(2), bias_std 0 and the image or what the caller gives, ntk,
/// gaussian.

/// Writes w, which must be the same on every rank. Collective. Throws InputError where w does not
/// have network.parameters() entries.
template <class T>
void write(io::Hdf5File& file, const Network& network, std::span<const T> w);

struct StoredNetwork {
  Network network;
  std::vector<double> parameters;  ///< on every rank
};
/// The network that a file describes, and its parameters. `left_out` and `image`: the deviations
/// and the shape of the images where the file states none. Throws InputError: no /parameters, no
/// architecture, a layer that is missing, one too many, or one of another shape than the
/// architecture says (both shapes named), values that are not finite. Collective.
StoredNetwork read_network(const io::Hdf5File& file, const arch::Options& left_out = {},
                           const arch::Image& image = {});

/// The parameters only, for a network that is known. A file of one copy is used for both copies of
/// an antisymmetric network. Throws InputError as read_network(), and where the file's
/// architecture, parametrisation, or a weight_std or bias_std that it states, differs from the
/// network's, or where it holds two copies and the network has one. Collective.
std::vector<double> read_parameters(const io::Hdf5File& file, const Network& network);

/// A hash of the bits of the parameters. Local.
template <class T>
std::uint64_t hash(std::span<const T> w);

}  // namespace mercer::net
