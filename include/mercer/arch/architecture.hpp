#pragma once

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

struct Layer;
/// x -> x + branch(x).
struct Residual {
  std::vector<Layer> branch;
};
struct Layer {
  std::variant<Dense, Activation, Residual> what;
  std::string token;   ///< as written; "res(" of a residual branch
  Index position = 0;  ///< offset of the token in the text, for messages
};

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

  /// Canonical form, with widths where they were given: parse(text()) has the same layers.
  std::string text() const;
  /// Whether every dense layer has a width (the kernel needs none, a network all).
  bool has_widths() const;
  /// The same architecture with no width given.
  Architecture without_widths() const;
  /// The same with all dense layers fixed but the first, as the networks of [L] are
  /// (arXiv 2009.09829, Definition 3.5).
  Architecture first_trained() const;
  /// The same with no layer fixed.
  Architecture all_trained() const;
  /// Hidden layers: the dense layers outside any res( ), less one.
  Index depth() const;
};

/// The most res( ) inside one another: functions that walk an architecture recurse as deep.
inline constexpr Index kMostNested = 500;

/// Parses "dense(1024) relu dense(1)", "dense res(relu dense) relu dense", "dense(64) relu
/// dense(1,fixed)", "dense relu dense(fixed)". Throws InputError that quotes the text, points at
/// the token and says what would be right: unknown token, wrong number of parameters, parameters
/// out of range, unbalanced parentheses, an empty res( ), an activation on a state that is not
/// Gaussian (before any dense, after an activation, or after a res( ) with an activation right
/// before it or at its end), a res( ) before the first dense, one without a dense layer directly in
/// it (skip and branch would be correlated), one that changes the width, more than kMostNested of
/// them inside one another, an architecture that does not end in dense or whose dense layers are
/// all fixed; conv, flatten, gap and avgpool are named as not there yet. Local, pure.
///
/// With weight_std_auto, sigma_w^2 = 1/E[rho(z)^2] ([G] app. A), 1 where there is no activation; it
/// throws where two activations of the text ask for different values, or one for an infinite one.
/// It throws too unless weight_std is positive, bias_std 0 or more, and both finite.
///
/// A message quotes at most about 200 characters of the text, those around the token.
Architecture parse(std::string_view text, const Options& options = {});
/// "dense ACTIVATION" `hidden_layers` times, then dense, without widths. Throws InputError: less
/// than 0 or more than 100 000 layers, not exactly one activation, or as parse(). Local.
Architecture fully_connected(Index hidden_layers, std::string_view activation,
                             const Options& options = {});

}  // namespace mercer::arch
