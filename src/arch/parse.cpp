#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "mercer/arch/architecture.hpp"

namespace mercer::arch {

namespace {

constexpr std::string_view kActivations =
    "relu, leaky_relu(a), abrelu(a,b), erf, erf(a,b), gelu, sin(a,b,c), tanh, softplus, sigmoid";

/// What a layer must know about the state that it is applied to.
struct State {
  bool input = true;      ///< before the first dense
  bool gaussian = false;  ///< units jointly Gaussian in the wide limit
  Index width = 0;        ///< 0 where not known
};

/// The text; of a long one, the part around `position`.
std::string excerpt(const std::string& text, Index position) {
  constexpr Index kMost = 200;
  const auto size = static_cast<Index>(text.size());
  if (size <= kMost) return text;
  const Index begin = std::clamp<Index>(position - kMost / 2, 0, size - kMost);
  return (begin > 0 ? "..." : "") + text.substr(static_cast<std::size_t>(begin), kMost) +
         (begin + kMost < size ? "..." : "");
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), quoted_(text) {
    for (char& c : quoted_)
      if (std::isspace(static_cast<unsigned char>(c))) c = ' ';  // a message is one line
  }

  std::vector<Layer> parse() {
    State state;
    std::vector<Layer> layers = sequence(state, std::nullopt);
    if (layers.empty())
      throw InputError("architecture \"{}\": no layers; e.g. dense relu dense", quoted_);
    if (!std::holds_alternative<Dense>(layers.back().what))
      fail(layers.back(), "an architecture ends in dense, its readout");
    if (!trained_) fail(layers.back(), "every dense layer is fixed: at least one must be trained");
    return layers;
  }

 private:
  /// Layers up to the end of the text or, inside the res( ) that starts at `open`, to its ')'.
  std::vector<Layer> sequence(State& state, std::optional<Index> open) {
    std::vector<Layer> layers;
    for (;;) {
      skip_blanks();
      if (at_end()) {
        if (open) fail_at(*open, "res(", "this parenthesis is never closed");
        return layers;
      }
      if (peek() == ')') {
        if (!open) fail_at(here(), ")", "no parenthesis is open here");
        ++next_;
        return layers;
      }
      layers.push_back(layer(state));
    }
  }

  Layer layer(State& state) {
    Layer layer;
    layer.position = here();
    const std::string name = word();
    layer.token = name;
    if (name.empty())
      fail_at(here(), std::string(1, peek()), "expected a layer such as dense, relu or res(");
    if (name == "res") {
      residual(layer, state);
      return layer;
    }
    const std::vector<std::string> parameters = list();
    layer.token = std::string(text_.substr(layer.position, next_ - layer.position));
    if (name == "dense")
      layer.what = dense(layer, parameters, state);
    else
      layer.what = activation(layer, name, parameters, state);
    return layer;
  }

  Dense dense(const Layer& layer, const std::vector<std::string>& parameters, State& state) {
    Dense dense;
    dense.trained = parameters.empty() || parameters.back() != "fixed";
    const std::size_t widths = parameters.size() - (dense.trained ? 0 : 1);
    if (widths > 1 || (has_list_ && parameters.empty()))
      fail(layer,
           "dense takes its width, and \"fixed\" where it is not trained: dense, dense(1024), "
           "dense(fixed) or dense(1,fixed)");
    if (widths == 1) {
      const std::string& p = parameters[0];
      const auto [end, error] = std::from_chars(p.data(), p.data() + p.size(), dense.width);
      if (error != std::errc() || end != p.data() + p.size() || dense.width < 1)
        fail(layer, "the width of dense must be a whole number of at least 1");
    }
    trained_ = trained_ || dense.trained;
    state = {false, true, dense.width};
    return dense;
  }

  Activation activation(const Layer& layer, const std::string& name,
                        const std::vector<std::string>& parameters, State& state) {
    if (name == "conv" || name == "flatten" || name == "gap" || name == "avgpool")
      fail(layer,
           "convolutional layers come later: this version has dense, res( ) and activations");
    const Activation rho = known_activation(layer, name, parameters);
    if (state.input) fail(layer, "an activation needs Gaussian units before it: start with dense");
    if (!state.gaussian)
      fail(layer, "an activation needs Gaussian units before it: put a dense in between");
    state.gaussian = false;
    return rho;
  }

  Activation known_activation(const Layer& layer, const std::string& name,
                              const std::vector<std::string>& parameters) {
    const auto numbers = [&](std::size_t least, std::size_t most, std::string_view right) {
      return this->numbers(layer, parameters, least, most, right);
    };
    Activation rho;
    if (name == "relu") {
      numbers(0, 0, "relu takes no parameters");
      rho = {Function::rectifier, 0, 1, 0, "relu"};
    } else if (name == "leaky_relu") {
      const auto p = numbers(1, 1, "leaky_relu takes one parameter: leaky_relu(0.2)");
      rho = {Function::rectifier, p[0], 1, 0, fmt::format("leaky_relu({})", p[0])};
    } else if (name == "abrelu") {
      const auto p = numbers(2, 2, "abrelu takes two parameters: abrelu(-0.5,1.5)");
      if (p[0] == 0 && p[1] == 0) fail(layer, "one parameter of abrelu must not be 0");
      rho = {Function::rectifier, p[0], p[1], 0, fmt::format("abrelu({},{})", p[0], p[1])};
    } else if (name == "erf") {
      const auto p = numbers(0, 2, "erf takes no parameters or two: erf or erf(0.8,1.7)");
      if (p.empty()) return {Function::erf, 1, 1, 0, "erf"};
      if (p.size() != 2) fail(layer, "erf takes no parameters or two: erf or erf(0.8,1.7)");
      if (p[0] == 0 || p[1] == 0) fail(layer, "the parameters of erf must not be 0");
      rho = {Function::erf, p[0], p[1], 0, fmt::format("erf({},{})", p[0], p[1])};
    } else if (name == "sin") {
      const auto p = numbers(3, 3, "sin takes three parameters, a sin(b x + c): sin(1,1,0)");
      if (p[0] == 0 || p[1] == 0) fail(layer, "the parameters a and b of sin must not be 0");
      rho = {Function::sin, p[0], p[1], p[2], fmt::format("sin({},{},{})", p[0], p[1], p[2])};
    } else {
      constexpr std::pair<std::string_view, Function> plain[] = {{"gelu", Function::gelu},
                                                                 {"tanh", Function::tanh},
                                                                 {"softplus", Function::softplus},
                                                                 {"sigmoid", Function::sigmoid}};
      for (const auto& [known, function] : plain)
        if (name == known) {
          numbers(0, 0, fmt::format("{} takes no parameters", name));
          return {function, 1, 1, 0, name};
        }
      fail(layer, fmt::format("unknown layer; known are dense(w), {}, res( ... )", kActivations));
    }
    return rho;
  }

  void residual(Layer& layer, State& state) {
    if (at_end() || peek() != '(') fail(layer, "res needs its branch: res(relu dense)");
    ++next_;
    layer.token = "res(";
    if (state.input) fail(layer, "res( ) cannot come before the first dense");
    if (nested_ == kMostNested)
      fail(layer,
           fmt::format("nested too deep: at most {} res( ) inside one another", kMostNested));
    State branch_state = state;
    ++nested_;
    std::vector<Layer> branch = sequence(branch_state, layer.position);
    --nested_;
    if (branch.empty()) fail(layer, "this res( ) is empty: res(relu dense)");
    bool has_dense = false;
    for (const Layer& inner : branch) has_dense |= std::holds_alternative<Dense>(inner.what);
    if (!has_dense)
      fail(layer,
           "the branch of this res( ) has no dense of its own, so that it would be correlated "
           "with its input, to which it is added: res(relu dense)");
    if (state.width > 0 && branch_state.width > 0 && state.width != branch_state.width)
      fail(layer, fmt::format("this res( ) adds {} units to {}: the widths must agree",
                              branch_state.width, state.width));
    state.gaussian = state.gaussian && branch_state.gaussian;
    if (state.width == 0) state.width = branch_state.width;
    layer.what = Residual{std::move(branch)};
  }

  std::vector<double> numbers(const Layer& layer, const std::vector<std::string>& parameters,
                              std::size_t least, std::size_t most, std::string_view right) {
    if (parameters.size() < least || parameters.size() > most || (has_list_ && parameters.empty()))
      fail(layer, right);
    std::vector<double> values;
    for (const std::string& p : parameters) {
      const char* begin = p.data() + (p.size() > 1 && p[0] == '+' ? 1 : 0);
      double v = 0;
      const auto [end, error] = std::from_chars(begin, p.data() + p.size(), v);
      if (error != std::errc() || end != p.data() + p.size() || !std::isfinite(v))
        fail(layer, fmt::format("\"{}\" is not a finite number", p));
      values.push_back(v == 0 ? 0 : v);  // -0 prints as 0
    }
    return values;
  }

  /// "(p, q)" -> {"p", "q"}; nothing where no parenthesis follows.
  std::vector<std::string> list() {
    std::vector<std::string> parameters;
    has_list_ = !at_end() && peek() == '(';
    if (!has_list_) return parameters;
    const Index open = here();
    const std::size_t close = text_.find(')', next_);
    if (close == std::string_view::npos) fail_at(open, "(", "this parenthesis is never closed");
    std::string_view inside = text_.substr(next_ + 1, close - next_ - 1);
    next_ = close + 1;
    if (trimmed(inside).empty()) return parameters;
    for (;;) {
      const std::size_t comma = inside.find(',');
      parameters.emplace_back(trimmed(inside.substr(0, comma)));
      if (comma == std::string_view::npos) return parameters;
      inside.remove_prefix(comma + 1);
    }
  }

  std::string word() {
    const std::size_t begin = next_;
    while (!at_end() && (std::isalnum(static_cast<unsigned char>(peek())) || peek() == '_'))
      ++next_;
    return std::string(text_.substr(begin, next_ - begin));
  }
  static std::string_view trimmed(std::string_view s) {
    const std::size_t begin = s.find_first_not_of(" \t\n\r");
    if (begin == std::string_view::npos) return {};
    return s.substr(begin, s.find_last_not_of(" \t\n\r") - begin + 1);
  }
  void skip_blanks() {
    while (!at_end() && std::isspace(static_cast<unsigned char>(peek()))) ++next_;
  }
  bool at_end() const { return next_ >= text_.size(); }
  char peek() const { return text_[next_]; }
  Index here() const { return static_cast<Index>(next_); }

  [[noreturn]] void fail(const Layer& layer, std::string_view what) const {
    fail_at(layer.position, layer.token, what);
  }
  [[noreturn]] void fail_at(Index position, std::string_view token, std::string_view what) const {
    throw InputError("architecture \"{}\": '{}' at character {}: {}", excerpt(quoted_, position),
                     excerpt(std::string(token), 0), position + 1, what);
  }

  std::string_view text_;
  std::string quoted_;
  std::size_t next_ = 0;
  bool has_list_ = false;  ///< whether the last list() had parentheses
  Index nested_ = 0;       ///< res( ) that are open
  bool trained_ = false;   ///< whether a dense layer is trained
};

/// Sets `weight_variance` to sigma_w^2 of weight_std_auto, on which all activations must agree.
void gather_auto(const std::vector<Layer>& layers, std::string_view text,
                 std::optional<double>& weight_variance) {
  for (const Layer& layer : layers) {
    if (const auto* rho = std::get_if<Activation>(&layer.what)) {
      const double wanted = 1 / second_moment(*rho);
      if (!std::isfinite(wanted))
        throw InputError("architecture \"{}\": '{}' at character {}: weight_std auto is not finite",
                         excerpt(std::string(text), layer.position), layer.token,
                         layer.position + 1);
      if (weight_variance && !(std::abs(*weight_variance - wanted) <= 1e-12 * wanted))
        throw InputError(
            "architecture \"{}\": '{}' at character {}: weight_std auto is {:.6g} here and {:.6g} "
            "for an activation before it; give a number",
            excerpt(std::string(text), layer.position), layer.token, layer.position + 1,
            std::sqrt(wanted), std::sqrt(*weight_variance));
      weight_variance = wanted;
    } else if (const auto* res = std::get_if<Residual>(&layer.what)) {
      gather_auto(res->branch, text, weight_variance);
    }
  }
}

}  // namespace

Architecture parse(std::string_view text, const Options& options) {
  Architecture result;
  result.layers = Parser(text).parse();
  result.weight_std = options.weight_std;
  result.bias_std = options.bias_std;
  if (options.weight_std_auto) {
    std::optional<double> variance;
    gather_auto(result.layers, text, variance);
    result.weight_std = std::sqrt(variance.value_or(1.0));
  }
  if (!(result.weight_std > 0 && std::isfinite(result.weight_std)))
    throw InputError("weight_std = {}: must be positive and finite", result.weight_std);
  if (!(result.bias_std >= 0 && std::isfinite(result.bias_std)))
    throw InputError("bias_std = {}: must be 0 or more and finite", result.bias_std);
  return result;
}

}  // namespace mercer::arch
