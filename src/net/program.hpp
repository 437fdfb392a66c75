#pragma once

#include <optional>
#include <vector>

#include "linear_maps.hpp"
#include "mercer/net/network.hpp"

namespace mercer::net {

/// One step of a pass. It goes from node to node: a node is the vector of a layer's units for every
/// row, of images in the order H, W, C; node 0 is the network's input.
struct Step {
  enum class Kind {
    weights,     ///< out = weight_scale W^T in + bias_scale b, then rho where `activated`
    pool,        ///< out = the means over windows of in
    activation,  ///< out = rho(in)
    sum          ///< out += in: the end of a res( ), `out` its branch, `in` its skip
  };
  Kind kind = Kind::weights;
  Index in = 0, out = 0;
  Index layer = -1;            ///< of Network::layers()
  std::optional<Pool> pool{};  ///< of a pool
  bool activated = false;
  arch::Activation rho = {};
  Index slope = -1;  ///< the place where rho' is stored; -1: it follows from the sign of the value
  /// The places of the nodes' adjoints in a backward pass. signal_in is -1 where that adjoint is
  /// not needed (the network's input); `adds`: it holds a contribution already, to which is added.
  Index signal_out = -1, signal_in = -1;
  bool adds = false;
  /// The places of the nodes' tangents in a forward-mode pass; -1: of the input, which is zero.
  Index tangent_in = -1, tangent_out = -1;
};

struct Node {
  Index units = 0;
  bool image = false;  ///< then rows follow one another without gaps
};

/// One copy of a network as a list of steps, with a place for every vector that they need.
struct Program {
  std::vector<Step> steps;
  std::vector<Node> nodes;
  std::vector<Index> slopes;  ///< the node of each stored rho'
  std::vector<Index> slots;   ///< the most units of each place for adjoints or tangents
  Index result = 0;           ///< the node of the outputs
  Index result_signal = 0, result_tangent = 0;
};

Program compile(const Network& network);

}  // namespace mercer::net
