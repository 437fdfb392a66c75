#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/matrix.hpp"

/// Finite networks, built from the same architecture text as the kernel.
namespace mercer::net {

using arch::Parametrization;

/// gaussian: one copy f(theta); its output at the start is a Gaussian process of size O(1) at any
/// width. antisymmetric ([B] 2.3): two copies, f = (f(theta) - f(theta'))/sqrt(2) with theta' =
/// theta at the start: zero output, the same tangent kernel.
enum class Start { antisymmetric, gaussian };

std::string name(Parametrization p);
std::string name(Start s);
Parametrization parse_parametrization(std::string_view text);  ///< throws InputError
Start parse_start(std::string_view text);                      ///< throws InputError

/// A convolution between images, as arch::Conv has it.
struct Convolution {
  arch::Image in, out;
  arch::Window filter;  ///< f1 x f2 pixels
  arch::Padding padding = arch::Padding::same;
  Index stride = 1;
};

/// A layer of weights, dense or a convolution, and where its parameters lie within one copy of the
/// flat vector: W (fan_in x fan_out, row-major) at `weights`, b (fan_out) at `biases`. A
/// convolution is a dense layer of f1 f2 C inputs and C_out outputs on the patch of every output
/// pixel: its W is f1 x f2 x C x C_out.
struct WeightLayer {
  Index fan_in = 0, fan_out = 0;
  Index weights = 0, biases = 0;
  double weight_scale = 1;  ///< z = weight_scale W^T a + bias_scale b
  double bias_scale = 1;    ///< 0: biases have no effect and no gradient
  double weight_start = 1;  ///< standard deviations of the initial entries
  double bias_start = 1;
  bool trained = true;  ///< false: no gradient, as arch::Dense and arch::Conv say
  std::optional<Convolution> conv{};

  /// How often the weights are used for one row: output pixels, or 1.
  Index pixels() const { return conv ? conv->out.pixels() : 1; }
  /// Numbers of a row before and after the layer.
  Index inputs() const { return conv ? conv->in.numbers() : fan_in; }
  Index outputs() const { return pixels() * fan_out; }
};

/// Entries [first, first + count) of the flat vector.
struct Range {
  Index first = 0, count = 0;
};

/// A network: its layers and the layout of its parameters, without the parameters. These are one
/// flat vector in the order W_0, b_0, W_1, b_1, ... of the architecture text (the second copy of
/// the antisymmetric form after the first). A pure value; all members are local.
class Network {
 public:
  /// An architecture of images must know their shape (arch::Architecture::on()). Throws InputError
  /// where a width is missing or a res( ) changes the width (it names the token), where the
  /// architecture does not end in dense, where `inputs` is not that of the images, for inputs < 1,
  /// and for too many parameters.
  Network(const arch::Architecture& architecture, Index inputs, Parametrization parametrization,
          Start start);

  Index inputs() const { return inputs_; }
  Index outputs() const { return layers_.back().fan_out; }
  Index copies() const { return start_ == Start::antisymmetric ? 2 : 1; }
  Index parameters() const { return copies() * parameters_of_copy(); }
  Index parameters_of_copy() const { return parameters_; }
  const std::vector<WeightLayer>& layers() const { return layers_; }
  /// The parameters of the layers that are trained, in the vector's order; neighbours are one
  /// range: all of it where no layer is fixed.
  std::vector<Range> trained() const;
  const arch::Architecture& architecture() const { return architecture_; }
  Parametrization parametrization() const { return parametrization_; }
  Start start() const { return start_; }
  /// "dense(64) relu dense(1); weight_std=...; bias_std=...; ntk; antisymmetric", and "; image=..."
  /// for layers of images: canonical.
  std::string text() const;

  /// Flops of one row in the layers of weights (a multiply-add counts 2): of a forward pass, and of
  /// a forward and a backward pass.
  double forward_flops() const;
  double gradient_flops() const;

  /// Initial parameters, the same for every number of ranks: entry i of a copy is
  /// Random(seed, initial_parameters).normal(i) times its layer's deviation.
  template <class T>
  std::vector<T> initial(std::uint64_t seed) const;

 private:
  arch::Architecture architecture_;
  Index inputs_ = 0, parameters_ = 0;
  Parametrization parametrization_;
  Start start_;
  std::vector<WeightLayer> layers_;
};

/// Forward and backward passes of one network over the m rows that a rank holds, in batches of
/// rows, as GEMMs. Everything is allocated at construction: a call allocates nothing. Where the
/// activations of all rows fit the given memory, they are kept from outputs() to gradient();
/// otherwise gradient() computes them again batch by batch (4/3 of the flops). gradient() and jvp()
/// with `kept` leave the kept activations as they are, every other call drops them. In all matrices
/// a column is a row of the data set; p is the number of parameters, d and c those of inputs and
/// outputs; where a cost is a multiple of p m, a convolution counts its weights once for each
/// pixel. Throws InputError where shapes do not agree. Local; not thread-safe. T = double, float.
template <class T>
class Evaluator {
 public:
  /// `rows`: the most rows of a call. `memory`: bytes for activations and adjoints; at least those
  /// of one row are taken.
  Evaluator(const Network& network, Index rows, double memory = 1e9);
  ~Evaluator();
  Evaluator(Evaluator&&) noexcept;

  /// F = f(X; w): X d x m, F c x m. 2 p m flops.
  void outputs(std::span<const T> w, MatrixView<const T> X, MatrixView<T> F);

  /// g = J^T seed for seed c x m: the gradient of sum_(j,a) seed(a, j) f_a(x_j; w), J the
  /// derivatives with respect to what is trained: for a fixed layer zeros. All p entries of g are
  /// written. `kept`: the caller asserts that w and X are unchanged since the last
  /// outputs(); then 4 p m flops where the activations were kept, otherwise 6 p m. In the last
  /// batch of rows `finished(first, count)` is called as soon as g[first, first + count) is
  /// complete, once for each layer of weights of each copy, from the end of g to its beginning, and
  /// `poll` between GEMMs: so that an all-reduce can be started and progressed during the pass.
  /// Both may be empty.
  struct Watch {
    std::function<void(Index first, Index count)> finished = {};
    std::function<void()> poll = {};
  };
  void gradient(std::span<const T> w, MatrixView<const T> X, MatrixView<const T> seed,
                std::span<T> g, bool kept, const Watch& watch = {});

  /// F = J u (c x m), the directional derivative of the outputs along u (p entries, those of fixed
  /// layers are ignored): the linear model of [G] (13) is h(x, w') = f(x, w) + J (w' - w). `kept`
  /// as in gradient(): 4 p m flops where the activations were kept, otherwise 6 p m.
  void jvp(std::span<const T> w, std::span<const T> u, MatrixView<const T> X, MatrixView<T> F,
           bool kept = false);

  /// The factors of the tangent kernel, for one copy and at most rows_kept() rows: for each layer l
  /// of weights its inputs A_l (WeightLayer::inputs() x m, of a convolution the images themselves,
  /// copied to inputs[l]) and the adjoints of its outputs before the activation, B_l
  /// (WeightLayer::outputs() x m, copied to signals[l]): the derivatives of sum_a seed(a, j)
  /// f_a(x_j) with respect to them, without the copy's factor 1/sqrt(2). An empty view skips its
  /// layer, an empty span all layers. `kept`: the caller asserts that w and X are unchanged since
  /// the last signals() and that no other call came between: its forward pass is used again.
  void signals(std::span<const T> w_of_copy, MatrixView<const T> X, MatrixView<const T> seed,
               std::span<const MatrixView<T>> inputs, std::span<const MatrixView<T>> signals,
               bool kept = false);

  /// The number of rows whose activations fit the memory at once; whether all rows of all copies
  /// do.
  Index rows_kept() const;
  bool keeps_all() const;
  /// Bytes that an evaluator holds, for the memory plan. Local, pure.
  static double bytes(const Network& network, Index rows, double memory = 1e9);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mercer::net
