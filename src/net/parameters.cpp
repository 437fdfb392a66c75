#include "mercer/net/parameters.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <type_traits>

#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"

namespace mercer::net {
namespace {

const std::string kRoot = "/parameters";

std::string layer_path(Index copy, std::size_t layer) {
  return fmt::format("{}{}/layer{}", kRoot, copy == 0 ? "" : "/mirror", layer);
}

std::string shown(const std::vector<Index>& extents) {
  return fmt::format("{}", fmt::join(extents, " x "));
}

/// Of a layer's W in a file.
std::vector<Index> extents_of(const WeightLayer& layer) {
  if (!layer.conv) return {layer.fan_in, layer.fan_out};
  const Convolution& c = *layer.conv;
  return {c.filter.f1, c.filter.f2, c.in.channels, layer.fan_out};
}

/// This rank's rows of a layer's W, row-major, which every rank holds whole: rows are those of the
/// first of its extents.
template <class T>
MatrixView<const T> own_rows(const comm::Communicator& comm, const WeightLayer& layer, const T* w) {
  const Index n = extents_of(layer).front(), size = layer.fan_in * layer.fan_out / n;
  const dist::RowPartition rows{n, comm.size()};
  return {w + layer.weights + rows.begin(comm.rank()) * size, size, rows.size(comm.rank()), size};
}

/// What the attributes of a weight file say of its network; empty where they are missing.
struct Description {
  std::string architecture;
  std::optional<double> weight_std, bias_std;
  std::optional<Parametrization> parametrization;
  std::optional<Start> start;
  std::optional<arch::Image> image;
};

/// Calls body() and puts the file's name before the message of an InputError.
template <class Body>
auto of_file(const io::Hdf5File& file, Body&& body) {
  try {
    return body();
  } catch (const InputError& error) {
    throw InputError("{}: {}", file.path(), error.what());
  }
}

/// Reads the attributes, at /parameters or, in a file written elsewhere, at the root. Collective.
Description read_description(const io::Hdf5File& file) {
  if (!file.contains(kRoot))
    throw InputError("{}: has no group {}: weights lie at {}/layer0/W, {}/layer0/b, ...",
                     file.path(), kRoot, kRoot, kRoot);
  const auto place = [&](const std::string& name) -> std::optional<std::string> {
    for (const char* object : {"/parameters", "/"})
      if (file.has_attribute(object, name)) return object;
    return std::nullopt;
  };
  const auto text = [&](const std::string& name) -> std::optional<std::string> {
    const auto object = place(name);
    if (!object) return std::nullopt;
    return file.text_attribute(*object, name);
  };
  const auto number = [&](const std::string& name, bool zero) -> std::optional<double> {
    const auto object = place(name);
    if (!object) return std::nullopt;
    const double value = file.number_attribute(*object, name);
    const bool ok = std::isfinite(value) && (value > 0 || (zero && value == 0));
    if (!ok)
      throw InputError("{}: the attribute {} is {}: it must be {}", file.path(), name, value,
                       zero ? "a number that is not negative" : "positive");
    return value;
  };
  Description d;
  const auto architecture = text("architecture");
  if (!architecture)
    throw InputError(
        "{}: {} has no attribute 'architecture', e.g. \"dense(64) relu dense(1)\", without which "
        "the weights cannot be used",
        file.path(), kRoot);
  d.architecture = *architecture;
  d.weight_std = number("weight_std", false);
  d.bias_std = number("bias_std", true);
  const auto parametrization = text("parametrization"), start = text("start"),
             image = text("image");
  of_file(file, [&] {
    if (parametrization) d.parametrization = parse_parametrization(*parametrization);
    if (start) d.start = parse_start(*start);
    if (image) d.image = arch::parse_image(*image);
  });
  return d;
}

arch::Architecture parse(const Description& d, arch::Options options = {},
                         const arch::Image& image = {}) {
  if (d.weight_std) {
    options.weight_std = *d.weight_std;
    options.weight_std_auto = false;
  }
  if (d.bias_std) options.bias_std = *d.bias_std;
  const auto architecture = arch::parse(d.architecture, options);
  const arch::Image shape = d.image.value_or(image);
  return shape.given() ? architecture.on(shape) : architecture;
}

/// One array of a network: its dataset in a file and its place in the flat vector.
struct Array {
  std::string name;
  std::vector<Index> extents;
  Index at = 0;
};

std::vector<Array> arrays(const Network& network, Index copies) {
  std::vector<Array> result;
  const auto& layers = network.layers();
  for (Index copy = 0; copy < copies; ++copy)
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const std::string path = layer_path(copy, l);
      const Index at = copy * network.parameters_of_copy();
      result.push_back({path + "/W", extents_of(layers[l]), at + layers[l].weights});
      result.push_back({path + "/b", {layers[l].fan_out}, at + layers[l].biases});
    }
  return result;
}

/// Throws InputError unless every array of `stored` copies has its shape in the file, and the file
/// has no layer more. Collective.
void check_shapes(const io::Hdf5File& file, const Network& network, Index stored) {
  const std::string text = network.architecture().text();
  for (const Array& array : arrays(network, stored)) {
    if (!file.contains(array.name))
      throw InputError("{}: has no dataset {}, which \"{}\" needs ({})", file.path(), array.name,
                       text, shown(array.extents));
    const auto extents = file.extents(array.name);
    if (extents != array.extents)
      throw InputError("{}: {} is {}, but \"{}\" makes it {}", file.path(), array.name,
                       shown(extents), text, shown(array.extents));
  }
  const std::string beyond = layer_path(0, network.layers().size());
  if (file.contains(beyond))
    throw InputError("{}: holds {}, but \"{}\" has only {} layers of weights", file.path(), beyond,
                     text, network.layers().size());
}

/// The parameters of `stored` copies; further copies of the network get those of the first one.
/// Throws InputError. Collective.
std::vector<double> read_copies(const io::Hdf5File& file, const Network& network, Index stored) {
  check_shapes(file, network, stored);
  auto w = comm::together(file.comm(), [&] {
    return std::vector<double>(static_cast<std::size_t>(network.parameters()));
  });
  for (const Array& array : arrays(network, stored)) {
    const auto values = file.read_vector(array.name);
    const auto bad = std::ranges::find_if(values, [](double v) { return !std::isfinite(v); });
    if (bad != values.end())
      throw InputError("{}: {} holds {} at position {}: weights are finite numbers", file.path(),
                       array.name, *bad, bad - values.begin());
    std::ranges::copy(values, w.begin() + array.at);
  }
  for (Index copy = stored; copy < network.copies(); ++copy)
    std::copy_n(w.begin(), network.parameters_of_copy(),
                w.begin() + copy * network.parameters_of_copy());
  return w;
}

bool same(double a, double b) {
  return std::abs(a - b) <= 1e-12 * std::max(std::abs(a), std::abs(b));
}

}  // namespace

template <class T>
void write(io::Hdf5File& file, const Network& network, std::span<const T> w) {
  if (static_cast<Index>(w.size()) != network.parameters())
    throw InputError("{} parameters given, the network has {}", w.size(), network.parameters());
  const auto& layers = network.layers();
  for (Index copy = 0; copy < network.copies(); ++copy) {
    const T* of_copy = w.data() + copy * network.parameters_of_copy();
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const WeightLayer& layer = layers[l];
      const std::string path = layer_path(copy, l);
      const auto extents = extents_of(layer);
      file.write<T>(path + "/W", extents.front(), own_rows(file.comm(), layer, of_copy),
                    std::span(extents).subspan(1));
      const T* b = of_copy + layer.biases;
      file.write(path + "/b", std::vector<double>(b, b + layer.fan_out));
    }
  }
  const auto& architecture = network.architecture();
  file.attribute(kRoot, "architecture", architecture.text());
  file.attribute(kRoot, "weight_std", architecture.weight_std);
  file.attribute(kRoot, "bias_std", architecture.bias_std);
  file.attribute(kRoot, "parametrization", name(network.parametrization()));
  file.attribute(kRoot, "start", name(network.start()));
  if (architecture.image.given()) file.attribute(kRoot, "image", architecture.image.text());
}

StoredNetwork read_network(const io::Hdf5File& file, const arch::Options& left_out,
                           const arch::Image& image) {
  const Description d = read_description(file);
  const std::string first = layer_path(0, 0) + "/W";
  if (!file.contains(first))
    throw InputError("{}: has no dataset {} (inputs x units of the first layer)", file.path(),
                     first);
  const auto extents = file.extents(first);
  Network network = of_file(file, [&] {
    const auto architecture = parse(d, left_out, image);
    if (architecture.of_images() && !architecture.image.given())
      throw InputError(
          "{} has no attribute 'image', the height x width x channels of its inputs, e.g. 28x28x1",
          kRoot);
    if (!architecture.of_images() && extents.size() != 2)
      throw InputError("{} has {} dimensions, weights have 2 (inputs x units)", first,
                       extents.size());
    return Network(
        architecture, architecture.of_images() ? architecture.image.numbers() : extents[0],
        d.parametrization.value_or(Parametrization::ntk), d.start.value_or(Start::gaussian));
  });
  auto w = read_copies(file, network, network.copies());
  return {std::move(network), std::move(w)};
}

std::vector<double> read_parameters(const io::Hdf5File& file, const Network& network) {
  const Description d = read_description(file);
  const auto architecture = network.architecture().all_trained();
  const std::string theirs = of_file(file, [&] { return parse(d).all_trained().text(); });
  const auto differ = [&](const std::string& what, const auto& in_file, const auto& here) {
    throw InputError("{}: its {} is {}, the network's is {}", file.path(), what, in_file, here);
  };
  if (theirs != architecture.text()) differ("architecture", theirs, architecture.text());
  if (architecture.of_images() && d.image && *d.image != architecture.image)
    differ("image", d.image->text(), architecture.image.text());
  if (d.weight_std && !same(*d.weight_std, architecture.weight_std))
    differ("weight_std", *d.weight_std, architecture.weight_std);
  if (d.bias_std && !same(*d.bias_std, architecture.bias_std))
    differ("bias_std", *d.bias_std, architecture.bias_std);
  const Parametrization p = d.parametrization.value_or(Parametrization::ntk);
  if (p != network.parametrization())
    throw InputError(
        "{}: its parametrization is {}, the network's is {}: give `parametrization` {}",
        file.path(), name(p), name(network.parametrization()), name(p));
  const Index stored = d.start == Start::antisymmetric ? 2 : 1;
  if (stored > network.copies())
    throw InputError("{}: holds an antisymmetric network, of two copies; the network has one",
                     file.path());
  return read_copies(file, network, stored);
}

template <class T>
std::uint64_t hash(std::span<const T> w) {
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  std::uint64_t h = w.size();
  for (const T value : w) h = mix(h + kGolden + std::bit_cast<Bits>(value));
  return h;
}

#define MERCER_INSTANTIATE(T)                                                \
  template void write<T>(io::Hdf5File&, const Network&, std::span<const T>); \
  template std::uint64_t hash<T>(std::span<const T>);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::net
