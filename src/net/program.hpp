#pragma once

#include <vector>

#include "mercer/net/network.hpp"

namespace mercer::net {

/// One step of a pass, on nodes: a node is a vector of units a row; node 0 is the network's input.
struct Step {
  enum class Kind {
    dense,       ///< out = weight_scale W^T in + bias_scale b, then rho where `activated`
    activation,  ///< out = rho(in)
    sum          ///< out += in: the branch `out` of a res( ), `in` what it is added to
  };
  Kind kind = Kind::dense;
  Index in = 0, out = 0;
  Index layer = -1;  ///< of Network::layers()
  bool activated = false;
  arch::Activation rho = {};
  Index slope = -1;  ///< where rho' is stored; -1: the sign of the value tells it
  /// Where the signals (derivatives with respect to the nodes) lie in a backward pass; signal_in
  /// is -1 where none is wanted, and `adds` says that it holds something already.
  Index signal_out = -1, signal_in = -1;
  bool adds = false;
  /// Where the tangents lie in a forward-mode pass; -1: the input's, which is zero.
  Index tangent_in = -1, tangent_out = -1;
};

/// A network as a list of steps, with a place for every vector that they need. One copy.
struct Program {
  std::vector<Step> steps;
  std::vector<Index> nodes;   ///< units of each node
  std::vector<Index> slopes;  ///< units of each stored rho'
  std::vector<Index> slots;   ///< units of each place for signals or tangents
  Index result = 0;           ///< the node of the outputs
  Index result_signal = 0, result_tangent = 0;
};

Program compile(const Network& network);

}  // namespace mercer::net
