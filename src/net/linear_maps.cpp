#include "linear_maps.hpp"

#include <algorithm>

#include "mercer/blas/blas.hpp"
#include "patches.hpp"

namespace mercer::net {
namespace {

using blas::Trans;

/// Patches at a time: they stay in the second-level cache between being gathered and multiplied.
constexpr Index kPatchBytes = 256 * 1024;

template <class T>
T factor(bool adds) {
  return adds ? T(1) : T(0);
}

/// W of a layer, or its gradient, as BLAS sees it: column-major, fan_out x fan_in.
template <class U>
MatrixView<U> weights_of(const WeightLayer& layer, U* w) {
  return {w + layer.weights, layer.fan_out, layer.fan_in, layer.fan_out};
}

template <class T>
void clear(MatrixView<T> A) {
  for (Index j = 0; j < A.cols; ++j) std::fill_n(A.column(j), A.rows, T(0));
}

template <class T>
class DenseMap : public LinearMap<T> {
 public:
  explicit DenseMap(const WeightLayer& layer)
      : layer_(layer), scale_(static_cast<T>(layer.weight_scale)) {}

  void apply(const T* w, MatrixView<const T> in, bool adds, MatrixView<T> out) const override {
    blas::gemm<T>(Trans::no, Trans::no, scale_, weights_of(layer_, w), in, factor<T>(adds), out);
  }
  void transpose(const T* w, MatrixView<const T> G, bool adds, MatrixView<T> H) const override {
    blas::gemm<T>(Trans::yes, Trans::no, scale_, weights_of(layer_, w), G, factor<T>(adds), H);
  }
  void gradient(MatrixView<const T> G, MatrixView<const T> in, bool adds, T* g) const override {
    blas::gemm<T>(Trans::no, Trans::yes, scale_, G, in, factor<T>(adds), weights_of(layer_, g));
  }

 private:
  WeightLayer layer_;
  T scale_;
};

/// The products of a dense layer with the patches of some lines of output pixels at a time.
template <class T>
class ConvolutionMap : public LinearMap<T> {
 public:
  ConvolutionMap(const WeightLayer& layer, std::span<T> scratch)
      : dense_(layer), conv_(*layer.conv), layer_(layer), patches_(scratch.data()) {
    lines_ = std::max<Index>(1, static_cast<Index>(scratch.size()) / line_numbers(layer));
  }

  void apply(const T* w, MatrixView<const T> in, bool adds, MatrixView<T> out) const override {
    each_part(in.cols, [&](Index first, Index count) {
      gather(conv_, in, first, count, patches_);
      dense_.apply(w, patches(count), adds, pixels(out, first, count));
    });
  }
  void transpose(const T* w, MatrixView<const T> G, bool adds, MatrixView<T> H) const override {
    if (!adds) clear(H);
    each_part(G.cols, [&](Index first, Index count) {
      dense_.transpose(w, pixels(G, first, count), false, patches(count));
      scatter_add(conv_, patches_, first, count, H);
    });
  }
  void gradient(MatrixView<const T> G, MatrixView<const T> in, bool adds, T* g) const override {
    if (!adds) clear(weights_of(layer_, g));
    each_part(G.cols, [&](Index first, Index count) {
      gather(conv_, in, first, count, patches_);
      dense_.gradient(pixels(G, first, count), patches(count), true, g);
    });
  }

  static Index line_numbers(const WeightLayer& layer) {
    return layer.fan_in * layer.conv->out.width;
  }

 private:
  /// Calls f(first, count) for as many lines of m images at a time as fit the scratch memory.
  template <class F>
  void each_part(Index m, F&& f) const {
    const Index all = m * conv_.out.height;
    for (Index first = 0; first < all; first += lines_) f(first, std::min(lines_, all - first));
  }
  MatrixView<T> patches(Index lines) const {
    return {patches_, layer_.fan_in, lines * conv_.out.width, layer_.fan_in};
  }
  /// The pixels of some lines, C_out x pixels.
  template <class U>
  MatrixView<U> pixels(MatrixView<U> images, Index first, Index lines) const {
    const Index W = conv_.out.width, C = layer_.fan_out;
    return {images.data + first * W * C, C, lines * W, C};
  }

  DenseMap<T> dense_;
  Convolution conv_;
  WeightLayer layer_;
  T* patches_;
  Index lines_;
};

template <class T>
class PoolMap : public LinearMap<T> {
 public:
  explicit PoolMap(const Pool& pool)
      : pool_(pool), share_(T(1) / static_cast<T>(pool.window.f1 * pool.window.f2)) {}

  void apply(const T*, MatrixView<const T> in, bool adds, MatrixView<T> out) const override {
    if (!adds) clear(out);
    each_pixel(in.cols, [&](Index j, Index from, Index to) {
      const T* x = in.column(j) + from;
      T* y = out.column(j) + to;
      for (Index c = 0; c < pool_.in.channels; ++c) y[c] += share_ * x[c];
    });
  }
  void transpose(const T*, MatrixView<const T> G, bool adds, MatrixView<T> H) const override {
    each_pixel(G.cols, [&](Index j, Index to, Index from) {
      const T* x = G.column(j) + from;
      T* y = H.column(j) + to;
      if (adds)
        for (Index c = 0; c < pool_.in.channels; ++c) y[c] += share_ * x[c];
      else
        for (Index c = 0; c < pool_.in.channels; ++c) y[c] = share_ * x[c];
    });
  }
  void gradient(MatrixView<const T>, MatrixView<const T>, bool, T*) const override {}

 private:
  /// Calls f(row, place of an input pixel, place of the output pixel that it is part of).
  template <class F>
  void each_pixel(Index m, F&& f) const {
    const auto [f1, f2] = pool_.window;
    const Index C = pool_.in.channels;
    for (Index j = 0; j < m; ++j)
      for (Index y = 0, from = 0; y < pool_.in.height; ++y) {
        const Index line = y / f1 * pool_.out.width * C;
        for (Index x = 0, to = line; x < pool_.out.width; ++x, to += C)
          for (Index dx = 0; dx < f2; ++dx, from += C) f(j, from, to);
      }
  }

  Pool pool_;
  T share_;
};

}  // namespace

Index patch_numbers(const WeightLayer& layer, Index entry_bytes) {
  if (!layer.conv) return 0;
  const Index line = ConvolutionMap<double>::line_numbers(layer);
  return line * std::max<Index>(1, kPatchBytes / (line * entry_bytes));
}

template <class T>
std::unique_ptr<LinearMap<T>> map_of(const WeightLayer& layer, std::span<T> scratch) {
  if (layer.conv) return std::make_unique<ConvolutionMap<T>>(layer, scratch);
  return std::make_unique<DenseMap<T>>(layer);
}

template <class T>
std::unique_ptr<LinearMap<T>> map_of(const Pool& pool) {
  return std::make_unique<PoolMap<T>>(pool);
}

#define MERCER_INSTANTIATE(T)                                                         \
  template std::unique_ptr<LinearMap<T>> map_of<T>(const WeightLayer&, std::span<T>); \
  template std::unique_ptr<LinearMap<T>> map_of<T>(const Pool&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::net
