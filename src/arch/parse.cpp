#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "mercer/arch/architecture.hpp"
#include "token_error.hpp"

namespace mercer::arch {

namespace {

constexpr std::string_view kActivations =
    "relu, leaky_relu(a), abrelu(a,b), erf, erf(a,b), gelu, sin(a,b,c), tanh, softplus, sigmoid";

/// What a layer must know about the state that it is applied to.
struct State {
  enum class Units {
    input,   ///< before the first layer of weights: rows or images
    pixels,  ///< after a conv
    flat,    ///< after flatten or gap: before the next dense
    row      ///< after a dense
  };
  Units units = Units::input;
  bool gaussian = false;  ///< units jointly Gaussian in the wide limit
  Index width = 0;        ///< or channels; 0 where not known
};
using Units = State::Units;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), quoted_(text) {
    for (char& c : quoted_)
      if (std::isspace(static_cast<unsigned char>(c))) c = ' ';  // a message is one line
  }

  static std::string_view trimmed(std::string_view s) {
    const std::size_t begin = s.find_first_not_of(" \t\n\r");
    if (begin == std::string_view::npos) return {};
    return s.substr(begin, s.find_last_not_of(" \t\n\r") - begin + 1);
  }

  std::vector<Layer> parse() {
    State state;
    std::vector<Layer> layers = sequence(state, std::nullopt);
    if (layers.empty())
      throw InputError("architecture \"{}\": no layers; e.g. dense relu dense", quoted_);
    if (!std::holds_alternative<Dense>(layers.back().what))
      fail(layers.back(), "an architecture ends in dense, its readout");
    if (!trained_)
      fail(layers.back(), "every layer of weights is fixed: at least one must be trained");
    return layers;
  }
  const std::string& quoted() const { return quoted_; }

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
    else if (name == "conv")
      layer.what = conv(layer, parameters, state);
    else if (name == "avgpool")
      layer.what = pool(layer, parameters, state);
    else if (name == "flatten")
      layer.what = join_pixels<Flatten>(layer, parameters, state);
    else if (name == "gap")
      layer.what = join_pixels<GlobalAverage>(layer, parameters, state);
    else
      layer.what = activation(layer, name, parameters, state);
    return layer;
  }

  /// A whole number of at least 1.
  static std::optional<Index> count(std::string_view text) {
    Index value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 1) return {};
    return value;
  }
  /// "3" or "3x5".
  Window window(const Layer& layer, std::string_view text, std::string_view right) {
    const std::size_t cross = text.find('x');
    const auto f1 = count(text.substr(0, cross));
    const auto f2 = cross == std::string_view::npos ? 0 : count(text.substr(cross + 1));
    if (!f1 || !f2) fail(layer, right);
    return {pixels(layer, *f1), pixels(layer, *f2)};
  }
  Index pixels(const Layer& layer, Index count) const {
    if (count > kMostPixels)
      fail(layer, fmt::format("at most {} pixels in each direction", kMostPixels));
    return count;
  }

  /// The name of an option, "pad" of "pad=same".
  static std::string_view option(std::string_view parameter) {
    return parameter.substr(0, parameter.find('='));
  }

  Conv conv(const Layer& layer, const std::vector<std::string>& parameters, State& state) {
    constexpr std::string_view right =
        "conv takes its filter, and where they are given its channels, pad=same|valid|circular, "
        "stride=S and \"fixed\": conv(3), conv(3x5,64) or conv(3,64,pad=valid,stride=2)";
    if (state.units == Units::flat || state.units == Units::row)
      fail(layer, "a conv needs pixels: it comes before flatten, gap and dense");
    if (parameters.empty()) fail(layer, right);
    Conv conv{.filter = window(layer, parameters[0], right)};
    for (std::size_t i = 1; i < parameters.size(); ++i) {
      const std::string_view p = parameters[i];
      for (std::size_t k = 1; k < i; ++k)
        if (option(p) == option(parameters[k]))
          fail(layer, fmt::format("{} is given twice", option(p)));
      if (const auto channels = count(p); channels && i == 1)
        conv.channels = *channels;
      else if (p == "pad=same" || p == "pad=valid" || p == "pad=circular")
        conv.padding = p == "pad=same"    ? Padding::same
                       : p == "pad=valid" ? Padding::valid
                                          : Padding::circular;
      else if (const auto stride = p.starts_with("stride=") ? count(p.substr(7)) : std::nullopt)
        conv.stride = pixels(layer, *stride);
      else if (p == "fixed")
        conv.trained = false;
      else
        fail(layer, right);
    }
    trained_ = trained_ || conv.trained;
    state = {Units::pixels, true, conv.channels};
    return conv;
  }

  AveragePool pool(const Layer& layer, const std::vector<std::string>& parameters, State& state) {
    constexpr std::string_view right = "avgpool takes its window: avgpool(2) or avgpool(2x3)";
    need_pixels(layer, state);
    if (parameters.size() != 1) fail(layer, right);
    return {window(layer, parameters[0], right)};
  }

  template <class What>
  What join_pixels(const Layer& layer, const std::vector<std::string>& parameters, State& state) {
    need_pixels(layer, state);
    if (!parameters.empty() || has_list_)
      fail(layer,
           fmt::format("{} takes no parameters", layer.token.substr(0, layer.token.find('('))));
    state.units = Units::flat;
    // A unit of flatten is one pixel's, but the kernel is the mean over all.
    if (std::is_same_v<What, Flatten>) state.gaussian = false;
    state.width = 0;
    return {};
  }

  void need_pixels(const Layer& layer, const State& state) const {
    if (nested_ > 0) fail(layer, "a res( ) keeps the pixels: put this after it");
    if (state.units == Units::input) fail(layer, "this needs pixels: start with a conv");
    if (state.units != Units::pixels)
      fail(layer, "this needs pixels: it comes before flatten, gap and dense");
  }

  Dense dense(const Layer& layer, const std::vector<std::string>& parameters, State& state) {
    Dense dense;
    dense.trained = parameters.empty() || parameters.back() != "fixed";
    const std::size_t widths = parameters.size() - (dense.trained ? 0 : 1);
    if (widths > 1 || (has_list_ && parameters.empty()))
      fail(layer,
           "dense takes its width, and \"fixed\" where it is not trained: dense, dense(1024), "
           "dense(fixed) or dense(1,fixed)");
    if (state.units == Units::pixels)
      fail(layer, "a dense takes one row: put flatten or gap before it");
    if (widths == 1) {
      const auto width = count(parameters[0]);
      if (!width) fail(layer, "the width of dense must be a whole number of at least 1");
      dense.width = *width;
    }
    trained_ = trained_ || dense.trained;
    state = {Units::row, true, dense.width};
    return dense;
  }

  Activation activation(const Layer& layer, const std::string& name,
                        const std::vector<std::string>& parameters, State& state) {
    const Activation rho = known_activation(layer, name, parameters);
    if (state.units == Units::input)
      fail(layer, "an activation needs Gaussian units before it: start with dense or conv");
    if (!state.gaussian)
      fail(layer, "an activation needs Gaussian units before it: put a dense or conv in between");
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
      unknown(layer);
    }
    return rho;
  }

  [[noreturn]] void unknown(const Layer& layer) const {
    std::string names;
    for (const auto& named : named_architectures()) {
      if (layer.token == named.name)
        fail(layer, "this is the name of a whole network, and stands alone");
      names += fmt::format("{}{}", names.empty() ? "" : ", ", named.name);
    }
    fail(layer, fmt::format("unknown layer; known are dense(w), {}, res( ... ), conv(f,c), "
                            "avgpool(f), flatten, gap, and for a whole network {}",
                            kActivations, names));
  }

  void residual(Layer& layer, State& state) {
    if (at_end() || peek() != '(') fail(layer, "res needs its branch: res(relu dense)");
    ++next_;
    layer.token = "res(";
    if (state.units == Units::input || state.units == Units::flat)
      fail(layer,
           "res( ) cannot come before the first dense or conv, or right after flatten or gap");
    if (nested_ == kMostNested)
      fail(layer,
           fmt::format("nested too deep: at most {} res( ) inside one another", kMostNested));
    State branch_state = state;
    ++nested_;
    std::vector<Layer> branch = sequence(branch_state, layer.position);
    --nested_;
    if (branch.empty()) fail(layer, "this res( ) is empty: res(relu dense)");
    if (std::ranges::none_of(branch, has_weights))
      fail(layer,
           "the branch of this res( ) has no dense or conv of its own, so that it would be "
           "correlated with its input, to which it is added: res(relu dense)");
    int circular = 0, convolutions = 0;
    count_circular(branch, circular, convolutions);
    if (circular > 0 && circular < convolutions)
      fail(layer, "the convolutions of a res( ) must all be circular, or none");
    if (state.width > 0 && branch_state.width > 0 && state.width != branch_state.width)
      fail(layer, fmt::format("this res( ) adds {} units to {}: the widths must agree",
                              branch_state.width, state.width));
    state.gaussian = state.gaussian && branch_state.gaussian;
    if (state.width == 0) state.width = branch_state.width;
    layer.what = Residual{std::move(branch)};
  }

  static void count_circular(const std::vector<Layer>& layers, int& circular, int& all) {
    for (const Layer& layer : layers)
      if (const auto* conv = std::get_if<Conv>(&layer.what)) {
        ++all;
        circular += conv->padding == Padding::circular;
      } else if (const auto* res = std::get_if<Residual>(&layer.what)) {
        count_circular(res->branch, circular, all);
      }
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
    arch::fail_at(quoted_, position, token, what);
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
        fail_at(std::string(text), layer.position, layer.token, "weight_std auto is not finite");
      if (weight_variance && !(std::abs(*weight_variance - wanted) <= 1e-12 * wanted))
        fail_at(std::string(text), layer.position, layer.token,
                fmt::format("weight_std auto is {:.6g} here and {:.6g} for an activation before "
                            "it; give a number",
                            std::sqrt(wanted), std::sqrt(*weight_variance)));
      weight_variance = wanted;
    } else if (const auto* res = std::get_if<Residual>(&layer.what)) {
      gather_auto(res->branch, text, weight_variance);
    }
  }
}

}  // namespace

std::string excerpt(const std::string& text, Index position) {
  constexpr Index kMost = 200;
  const auto size = static_cast<Index>(text.size());
  if (size <= kMost) return text;
  const Index begin = std::clamp<Index>(position - kMost / 2, 0, size - kMost);
  return (begin > 0 ? "..." : "") + text.substr(static_cast<std::size_t>(begin), kMost) +
         (begin + kMost < size ? "..." : "");
}

void fail_at(const std::string& text, Index position, std::string_view token,
             std::string_view what) {
  throw InputError("architecture \"{}\": '{}' at character {}: {}", excerpt(text, position),
                   excerpt(std::string(token), 0), position + 1, what);
}

const std::vector<NamedArchitecture>& named_architectures() {
  const auto myrtle = [](int a, int b, int e) {
    const auto group = [](int count) {
      std::string text;
      for (int i = 0; i < count; ++i) text += "conv(3) relu ";
      return text + "avgpool(2) ";
    };
    return group(a) + group(b) + group(e) + "avgpool(2) avgpool(2) flatten dense(10)";
  };
  static const std::vector<NamedArchitecture> all{
      {"lenet5",
       "conv(5,6) relu avgpool(2) conv(5,16,pad=valid) relu avgpool(2) flatten dense(120) relu "
       "dense(84) relu dense(10)"},
      {"myrtle5", myrtle(2, 1, 1)},
      {"myrtle7", myrtle(2, 2, 2)},
      {"myrtle10", myrtle(3, 3, 3)}};
  return all;
}

Architecture parse(std::string_view text, const Options& options) {
  for (const auto& named : named_architectures())
    if (Parser::trimmed(text) == named.name) text = named.text;
  Architecture result;
  Parser parser(text);
  result.layers = parser.parse();
  result.source = parser.quoted();
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
