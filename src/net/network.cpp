#include "mercer/net/network.hpp"

#include <cmath>
#include <limits>

#include "mercer/base/random.hpp"

namespace mercer::net {

std::string name(Parametrization p) {
  return p == Parametrization::ntk ? "ntk" : "standard";
}

std::string name(Start s) {
  return s == Start::antisymmetric ? "antisymmetric" : "gaussian";
}

Parametrization parse_parametrization(std::string_view text) {
  if (text == "ntk") return Parametrization::ntk;
  if (text == "standard") return Parametrization::standard;
  throw InputError("parametrization \"{}\": it must be ntk or standard", text);
}

Start parse_start(std::string_view text) {
  if (text == "antisymmetric") return Start::antisymmetric;
  if (text == "gaussian") return Start::gaussian;
  throw InputError("initial parameters \"{}\": they must be antisymmetric or gaussian", text);
}

namespace {

/// Walks through an architecture and collects its layers of weights.
class Layers {
 public:
  explicit Layers(std::string text) : text_(std::move(text)) {}

  /// Appends those of a sequence on `width` numbers, which are `image` where it is given.
  Index append(const std::vector<arch::Layer>& sequence, Index width, arch::Image image) {
    for (const arch::Layer& layer : sequence)
      std::visit(
          arch::Each{[&](const arch::Dense& dense) {
                       if (dense.width < 1) fail(layer, kNoWidth, "dense(1024)");
                       found.push_back(
                           {.fan_in = width, .fan_out = dense.width, .trained = dense.trained});
                       width = dense.width;
                     },
                     [&](const arch::Conv& conv) {
                       if (conv.channels < 1) fail(layer, kNoWidth, "conv(3,64)");
                       found.push_back(on_image(conv, image));
                       image = found.back().conv->out;
                       width = image.numbers();
                     },
                     [&](const arch::AveragePool& pool) {
                       image = shape_after(pool, image);
                       width = image.numbers();
                     },
                     [&](const arch::GlobalAverage&) { width = image.channels; },
                     [&](const arch::Residual& res) {
                       const Index sum = append(res.branch, width, image);
                       if (sum != width)
                         fail(layer, "adds {} units to {}: the widths must agree", sum, width);
                     },
                     [](const arch::Flatten&) {}, [](const arch::Activation&) {}},
          layer.what);
    return width;
  }

  std::vector<WeightLayer> found;

 private:
  static constexpr const char* kNoWidth = "has no width, which a network needs: {}";

  static WeightLayer on_image(const arch::Conv& conv, const arch::Image& image) {
    const arch::Window filter = arch::on_image(conv.filter, image);
    return {.fan_in = filter.f1 * filter.f2 * image.channels,
            .fan_out = conv.channels,
            .trained = conv.trained,
            .conv = Convolution{.in = image,
                                .out = shape_after(conv, image),
                                .filter = filter,
                                .padding = conv.padding,
                                .stride = conv.stride}};
  }
  template <class... Values>
  [[noreturn]] void fail(const arch::Layer& layer, const char* what,
                         const Values&... values) const {
    throw InputError("architecture \"{}\": \"{}\" at character {} {}", text_, layer.token,
                     layer.position + 1, fmt::format(fmt::runtime(what), values...));
  }

  std::string text_;
};

}  // namespace

Network::Network(const arch::Architecture& architecture, Index inputs,
                 Parametrization parametrization, Start start)
    : architecture_(architecture),
      inputs_(inputs),
      parametrization_(parametrization),
      start_(start) {
  if (inputs < 1) throw InputError("a network of {} inputs: at least 1 is needed", inputs);
  const std::string text = architecture.text();
  if (architecture.layers.empty() ||
      !std::holds_alternative<arch::Dense>(architecture.layers.back().what))
    throw InputError("architecture \"{}\": it must end in dense, its readout", text);
  const arch::Image& image = architecture.image;
  if (architecture.of_images() && !image.given())
    throw InputError("architecture \"{}\": the shape of the images is not known: give `image`",
                     text);
  if (image.given() && image.numbers() != inputs)
    throw InputError("images of {} are rows of {} numbers, but there are {}", image.text(),
                     image.numbers(), inputs);
  Layers layers(text);
  layers.append(architecture.layers, inputs, image);
  layers_ = std::move(layers.found);
  for (WeightLayer& layer : layers_) {
    const double most = static_cast<double>(std::numeric_limits<Index>::max() / 16);
    const double here = static_cast<double>(layer.fan_in) * static_cast<double>(layer.fan_out);
    if (!(static_cast<double>(parameters_) + here + static_cast<double>(layer.fan_out) < most))
      throw InputError("architecture \"{}\" of {} inputs: has too many parameters for 64-bit sizes",
                       text, inputs);
    layer.weights = parameters_;
    layer.biases = parameters_ + layer.fan_in * layer.fan_out;
    parameters_ = layer.biases + layer.fan_out;
    const double weight = architecture.weight_std / std::sqrt(static_cast<double>(layer.fan_in));
    if (parametrization == Parametrization::ntk) {
      layer.weight_scale = weight;
      layer.bias_scale = architecture.bias_std;
    } else {
      layer.weight_start = weight;
      layer.bias_start = architecture.bias_std;
    }
  }
}

std::string Network::text() const {
  const arch::Image& image = architecture_.image;
  return fmt::format("{}; weight_std={}; bias_std={}; {}; {}{}", architecture_.text(),
                     architecture_.weight_std, architecture_.bias_std, name(parametrization_),
                     name(start_), image.given() ? "; image=" + image.text() : "");
}

namespace {

/// Multiply-adds of one row in a layer.
double products_of(const WeightLayer& layer) {
  return static_cast<double>(layer.fan_in) * static_cast<double>(layer.outputs());
}

}  // namespace

double Network::forward_flops() const {
  double products = 0;
  for (const WeightLayer& layer : layers_) products += products_of(layer);
  return 2 * static_cast<double>(copies()) * products;
}

double Network::gradient_flops() const {
  double products = 0;  // beside those of the forward pass: adjoints of inputs, and of weights
  for (const WeightLayer& layer : layers_) {
    const int each = (&layer == &layers_.front() ? 0 : 1) + (layer.trained ? 1 : 0);
    products += each * products_of(layer);
  }
  return forward_flops() + 2 * static_cast<double>(copies()) * products;
}

std::vector<Range> Network::trained() const {
  std::vector<Range> ranges;
  for (Index copy = 0; copy < copies(); ++copy)
    for (const WeightLayer& layer : layers_) {
      if (!layer.trained) continue;
      const Index first = copy * parameters_ + layer.weights;
      const Index count = layer.biases + layer.fan_out - layer.weights;
      if (!ranges.empty() && ranges.back().first + ranges.back().count == first)
        ranges.back().count += count;
      else
        ranges.push_back({first, count});
    }
  return ranges;
}

template <class T>
std::vector<T> Network::initial(std::uint64_t seed) const {
  std::vector<T> w(static_cast<std::size_t>(parameters()));
  const Random random(seed, Stream::initial_parameters);
  for (const WeightLayer& layer : layers_)
    for (Index i = layer.weights; i < layer.biases + layer.fan_out; ++i) {
      const double deviation = i < layer.biases ? layer.weight_start : layer.bias_start;
      const T value = static_cast<T>(deviation * random.normal(static_cast<std::uint64_t>(i)));
      for (Index copy = 0; copy < copies(); ++copy)
        w[static_cast<std::size_t>(copy * parameters_ + i)] = value;
    }
  return w;
}

template std::vector<double> Network::initial<double>(std::uint64_t) const;
template std::vector<float> Network::initial<float>(std::uint64_t) const;

}  // namespace mercer::net
