#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mercer/arch/function.hpp"
#include "mercer/base/index.hpp"

namespace mercer::arch {

/// A dense layer, z as Parametrization says; width 0 where the text gives none. One that is not
/// trained ("fixed") keeps its initial weights and biases and adds nothing to the tangent kernel.
struct Dense {
  Index width = 0;
  bool trained = true;
};

/// How a dense layer takes a to z. ntk: z = sigma_w/sqrt(fan_in) W a + sigma_b b, entries of W and
/// b ~ N(0, 1) (Jacot, Gabriel and Hongler 2018). standard: z = W a + b, entries of W ~ N(0,
/// sigma_w^2/fan_in), of b ~ N(0, sigma_b^2).
enum class Parametrization { ntk, standard };

/// An activation. `rectifier` is a min(x, 0) + b max(x, 0): relu (0, 1), leaky_relu(alpha) =
/// (alpha, 1), abrelu(a, b). `erf`: a erf(b x), default (1, 1). `sin`: a sin(b x + c). gelu: x
/// Phi(x), Phi the standard normal distribution function. softplus: log(1 + e^x). `name`: the
/// token as text() prints it.
struct Activation {
  Function function = Function::rectifier;
  double a = 0;
  double b = 1;
  double c = 0;
  std::string name = "relu";
};

/// rho(x). Local.
double value(const Activation& rho, double x);
/// E[rho(z)^2] for z ~ N(0, 1): 1/c_rho of [G] app. A (arXiv 2307.14531). In closed form, or by the
/// trapezoidal rule, exact to rounding. Local.
double second_moment(const Activation& rho);

/// height x width pixels of `channels` numbers, in a row of the data set as H, W, C. A signal of
/// `height` samples has width 1.
struct Image {
  Index height = 0, width = 0, channels = 0;
  bool signal = false;

  bool given() const { return height > 0; }
  Index pixels() const { return height * width; }
  Index numbers() const { return pixels() * channels; }
  std::string text() const;  ///< "32x32x3", of a signal "128x3"
  bool operator==(const Image&) const = default;
};
/// The inverse of Image::text(). Throws InputError. Local.
Image parse_image(std::string_view text);

/// f1 x f2 pixels. f2 = 0 where the text gives one number: f1 x f1, on signals f1 x 1.
struct Window {
  Index f1 = 1, f2 = 0;
};

/// What lies outside the image: zeros, but the result is as large as the image; nothing: a result
/// that is f - 1 smaller; the other side.
enum class Padding { same, valid, circular };

/// z(p) = sigma_w/sqrt(C f1 f2) sum_(o, c) W[o, c] h(p + o, c) + sigma_b b, at every stride-th
/// pixel in both directions. With same and circular padding f is odd and o is centred, with valid
/// it is 0 ... f - 1. `channels` 0 where the text gives none.
struct Conv {
  Window filter;
  Index channels = 0;
  Padding padding = Padding::same;
  Index stride = 1;
  bool trained = true;
};
/// The mean over windows side by side, which must divide the image.
struct AveragePool {
  Window window;
};
/// All pixels and channels as one row, in the order H, W, C.
struct Flatten {};
/// The mean over all pixels.
struct GlobalAverage {};

struct Layer;
/// x -> x + branch(x).
struct Residual {
  std::vector<Layer> branch;
};
struct Layer {
  std::variant<Dense, Conv, Activation, AveragePool, Flatten, GlobalAverage, Residual> what;
  std::string token;   ///< as written; "res(" of a residual branch
  Index position = 0;  ///< offset of the token in the text, for messages
};

/// A function of a layer from one for each kind: std::visit(Each{[](const Dense&) {...}, ...},
/// layer.what). A kind that is missing does not compile.
template <class... F>
struct Each : F... {
  using F::operator()...;
};
template <class... F>
Each(F...) -> Each<F...>;
/// What Each does with several kinds alike: [](const OneOf<Flatten, GlobalAverage> auto&) {...}. A
/// plain `auto` would take every kind that is missing.
template <class What, class... Kinds>
concept OneOf = (std::same_as<What, Kinds> || ...);
/// Whether it is a layer of weights itself (not only its branch). Local.
bool has_weights(const Layer& layer);

struct Options {
  double weight_std = 1.4142135623730951;  ///< sigma_w of every layer
  bool weight_std_auto = false;            ///< sigma_w = sqrt(1/E[rho(z)^2]), z ~ N(0,1)
  double bias_std = 0;                     ///< sigma_b of every layer
};

/// One description for both the analytic kernel and the finite network.
struct Architecture {
  std::vector<Layer> layers;
  double weight_std = 1.4142135623730951;
  double bias_std = 0;
  std::string source{};  ///< the text that was parsed, for messages
  Image image{};         ///< of the rows, by on()

  /// Canonical form, with widths where they were given: parse(text()) has the same layers.
  std::string text() const;
  /// Whether the rows are images: there is a conv.
  bool of_images() const;
  /// The same architecture for rows that are such images; their shape is kept where the layers are
  /// of images, else dropped. Throws InputError that points at the token where no shape is given or
  /// a layer does not fit: a filter larger than a valid or circular image, an even one with same or
  /// circular padding, a window that does not divide the image, a filter or window of two numbers
  /// on a signal, a branch of res( ) with another shape than its input.
  Architecture on(const Image& image) const;
  /// Whether every dense layer and convolution has a width (the kernel needs none, a network all).
  bool has_widths() const;
  /// The same architecture with that width everywhere, or with no width given.
  Architecture with_width(Index width) const;
  Architecture without_widths() const { return with_width(0); }
  /// The same with all layers of weights fixed but the first, as the networks of [L] are
  /// (arXiv 2009.09829, Definition 3.5).
  Architecture first_trained() const;
  /// The same with no layer fixed.
  Architecture all_trained() const;
  /// Hidden layers: the layers of weights outside any res( ), less one.
  Index depth() const;
};

/// What a layer makes of images of that shape; of channels 0 (not given) for a conv without.
/// flatten and gap make one pixel. Throws InputError, without the token, as Architecture::on().
Image shape_after(const Conv& conv, const Image& image);
Image shape_after(const AveragePool& pool, const Image& image);
/// f1 x f2 of a window on such an image.
Window on_image(const Window& window, const Image& image);

/// The most res( ) inside one another: functions that walk an architecture recurse as deep.
inline constexpr Index kMostNested = 500;
/// The largest filter, stride and window of a pool, in each direction.
inline constexpr Index kMostPixels = 65535;

/// Parses "dense(1024) relu dense(1)", "dense res(relu dense) relu dense", "dense(64) relu
/// dense(1,fixed)", "conv(3,64) relu conv(3x5,64,pad=valid,stride=2) relu avgpool(2) flatten
/// dense(10)", "conv(3) relu gap dense", or the name of one of named_architectures(). Throws
/// InputError that quotes the text, points at the token and says what would be right: unknown
/// token, wrong number of parameters, parameters out of range, unbalanced parentheses, an empty
/// res( ), an activation on a state that is not Gaussian (before any dense or conv, after an
/// activation or flatten, or after a res( ) with an activation right before it or at its end), a
/// res( ) before the first dense or conv, one without a dense or conv directly in it (skip and
/// branch would be correlated), one that changes the width, more than kMostNested of them inside
/// one another, a conv or avgpool without pixels (after flatten, gap or dense), a dense on pixels,
/// flatten or gap before the first conv or inside a res( ), an architecture that does not end in
/// dense or whose layers of weights are all fixed. What depends on the images' shape is checked by
/// Architecture::on(). Local, pure.
///
/// With weight_std_auto, sigma_w^2 = 1/E[rho(z)^2] ([G] app. A), 1 where there is no activation; it
/// throws where two activations of the text ask for different values, or one for an infinite one.
/// It throws too unless weight_std is positive, bias_std 0 or more, and both finite.
///
/// A message quotes at most about 200 characters of the text, those around the token.
Architecture parse(std::string_view text, const Options& options = {});
/// Names that parse() takes for a whole text, and the texts: lenet5 (LeCun et al. 1998, with relu
/// and average pooling), myrtle5, myrtle7 and myrtle10 (Shankar et al. 2020, arXiv 2003.02237,
/// without widths).
struct NamedArchitecture {
  std::string_view name;
  std::string text;
};
const std::vector<NamedArchitecture>& named_architectures();
/// "dense ACTIVATION" `hidden_layers` times, then dense, without widths. Throws InputError: less
/// than 0 or more than 100 000 layers, not exactly one activation, or as parse(). Local.
Architecture fully_connected(Index hidden_layers, std::string_view activation,
                             const Options& options = {});

}  // namespace mercer::arch
