#pragma once

#include <memory>
#include <optional>
#include <span>

#include "mercer/base/matrix.hpp"
#include "mercer/net/network.hpp"

namespace mercer::net {

/// Windows side by side: the mean of each.
struct Pool {
  arch::Image in, out;
  arch::Window window;
};

/// The part of a step that is linear in its inputs: M in, for all rows at once, as a column each;
/// with the weights of one copy of the network, where it has any. A new kind of linear layer is a
/// class here and a line of program.cpp. Images are in the order H, W, C, and those of `in`, `out`,
/// G and H follow one another without gaps. No call allocates. Local; T = double, float.
template <class T>
class LinearMap {
 public:
  virtual ~LinearMap() = default;
  /// out = M in, or out += M in where `adds`.
  virtual void apply(const T* w, MatrixView<const T> in, bool adds, MatrixView<T> out) const = 0;
  /// H = M^T G, or H += M^T G where `adds`.
  virtual void transpose(const T* w, MatrixView<const T> G, bool adds, MatrixView<T> H) const = 0;
  /// The derivatives of sum(G o M in) with respect to W, into W's place in g, or added there.
  virtual void gradient(MatrixView<const T> G, MatrixView<const T> in, bool adds, T* g) const = 0;
};

/// z = weight_scale W^T a. `scratch`: as many numbers as patch_numbers() says, shared by the maps
/// of one thread.
template <class T>
std::unique_ptr<LinearMap<T>> map_of(const WeightLayer& layer, std::span<T> scratch);
template <class T>
std::unique_ptr<LinearMap<T>> map_of(const Pool& pool);

/// Numbers of the patches that a layer needs at a time: 0 of a dense one.
Index patch_numbers(const WeightLayer& layer, Index entry_bytes);

}  // namespace mercer::net
