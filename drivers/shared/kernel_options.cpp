// The part of CommandLine that makes a kernel, an architecture or a stored network of them.

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/net/empirical.hpp"
#include "shared/command_line.hpp"

namespace po = boost::program_options;

namespace mercer::drivers {

void CommandLine::add_kernel(Index depth, bool network) {
  network_ = network;
  auto add = group("Kernel").add_options();
  auto& k = kernel_;
  std::string layers =
      "layers, e.g. \"dense res(relu dense) relu dense\"; analytic kernels need no widths: "
      "dense(w) dense(w,fixed) relu leaky_relu(a) abrelu(a,b) erf erf(a,b) gelu sin(a,b,c) tanh "
      "softplus sigmoid res( ); of images: conv(f,c) "
      "conv(f1xf2,c,pad=same|valid|circular,stride=s) avgpool(f) flatten gap; or a name:";
  for (const auto& [name, text] : arch::named_architectures())
    layers += fmt::format("\n{} = {}", name, text);
  add("kernel", po::value(&k.kind)->value_name("NAME")->default_value("ntk"),
      "ntk, nngp, gaussian, laplace, linear, file:K.h5[,CROSS.h5], empirical");
  add("parameters", po::value(&k.parameters)->value_name("W.h5"),
      "weights of --kernel empirical, the tangent kernel of a finite network (the mean over its "
      "outputs): /parameters/layer0/W (inputs x units), /parameters/layer0/b, ... and the "
      "attribute architecture, e.g. \"dense(64) relu dense(1)\"; also weight_std, bias_std, "
      "parametrization (where left out: --weight-std, --bias-std, ntk); written by mercer-train or "
      "elsewhere");
  add("output", po::value(&k.output)->value_name("J"),
      "of --kernel empirical: of output J alone, from 0 (default: the mean over all outputs)");
  add("arch", po::value(&k.arch)->value_name("TEXT"), layers.c_str());
  add("image", po::value(&k.image)->value_name("HxWxC"),
      "shape of the images that the rows are, of signals LxC (default: as the data, --augment or "
      "the weights' file tells it)");
  add("state", po::value(&k.state)->value_name("double|single")->default_value("double"),
      "of kernels of images: precision of the pairs of pixels (single: about 0.6 of the time)");
  add("depth", po::value(&k.depth)->value_name("L")->default_value(depth),
      "short for L hidden layers: (dense activation) x L dense");
  add("activation", po::value(&k.activation)->value_name("NAME")->default_value("relu"),
      "activation of the layers of --depth");
  add("weight-std", po::value(&k.weight_std)->value_name("X")->default_value("", "sqrt(2)"),
      "standard deviation of the weights, in every layer; auto: sqrt(1/E[rho(z)^2])");
  add("bias-std", po::value(&k.bias_std)->value_name("X")->default_value(0.0, "0"),
      "standard deviation of the biases, in every layer");
  if (network)
    add("train-layers", po::value(&k.train_layers)->value_name("first|all")->default_value("all"),
        "first: every dense layer but the first is fixed, as dense(w,fixed) says of one");
  add("bandwidth", po::value(&k.bandwidth)->value_name("H")->default_value(1.0, "1"),
      "gaussian exp(-|x-z|^2/(2 H^2)), laplace exp(-|x-z|/H)");
}

/// Refuses options that the kernel ignores (those of layers count where --arch is a network's too).
void CommandLine::check_kernel() const {
  const auto& kind = kernel_.kind;
  const bool radial = kind == "gaussian" || kind == "laplace";
  if (given("bandwidth") && !radial)
    throw InputError("--bandwidth: belongs to --kernel gaussian and laplace, not to {}", kind);
  if (network_ || !(radial || kind == "linear" || kind.starts_with("file:"))) return;
  for (const char* option :
       {"arch", "depth", "activation", "weight-std", "bias-std", "image", "state"})
    if (given(option))
      throw InputError("--{}: belongs to --kernel ntk and nngp, not to {}", option, kind);
}

void CommandLine::expect_no_cross(const gram::Source& kernel) const {
  if (kernel.is_stored() && !kernel.cross_path().empty())
    throw InputError("--kernel file:{},{}: only mercer-krr needs k(test, train): leave {} out",
                     kernel.matrix_path(), kernel.cross_path(), kernel.cross_path());
}

arch::Options CommandLine::scales() const {
  const auto& k = kernel_;
  arch::Options a;
  a.bias_std = k.bias_std;
  if (k.weight_std == "auto")
    a.weight_std_auto = true;
  else if (!k.weight_std.empty())
    a.weight_std = parse_number("--weight-std", k.weight_std);
  if (!(a.weight_std > 0 && std::isfinite(a.weight_std)))
    throw InputError("--weight-std {}: give a positive number or auto", k.weight_std);
  if (!(a.bias_std >= 0 && std::isfinite(a.bias_std)))
    throw InputError("--bias-std {}: give a number that is not negative", a.bias_std);
  return a;
}

arch::Architecture CommandLine::architecture() const {
  const auto& k = kernel_;
  const arch::Options a = scales();
  if (!k.arch.empty() && given("depth"))
    throw InputError("--arch and --depth both describe the network: give one of them");
  if (k.train_layers != "first" && k.train_layers != "all")
    throw InputError("--train-layers {}: give first or all", k.train_layers);
  const auto all =
      k.arch.empty() ? arch::fully_connected(k.depth, k.activation, a) : arch::parse(k.arch, a);
  return k.train_layers == "first" ? all.first_trained() : all;
}

arch::Image CommandLine::stated_image() const {
  return given("image") ? arch::parse_image(kernel_.image) : arch::Image{};
}

arch::Image CommandLine::image_of_rows(const comm::Communicator& comm) const {
  const bool images = architecture().of_images();
  if (given("image") && !images) throw InputError("--image: is for layers of images, such as conv");
  if (given("image")) return stated_image();
  const auto& spec = values_[values_.count("train") > 0 ? "train" : "data"];
  if (!images || spec.empty()) return {};
  if (const auto shape = data::image_of(spec.as<std::string>(), comm))
    return {shape->height, shape->width, shape->channels};
  const std::string augment = data_ != nullptr ? data_->augment : std::string();
  return augment.starts_with("flip:") ? arch::parse_image(augment.substr(5)) : arch::Image{};
}

gram::Source CommandLine::kernel_source(const comm::Communicator& comm) const {
  const auto& k = kernel_;
  if (empirical_kernel()) {
    if (given("state"))
      throw InputError("--state: belongs to --kernel ntk and nngp, not to empirical");
    auto its = stored_network(comm);
    return gram::Source::function(net::empirical_kernel(its.network, std::move(its.parameters)));
  }
  for (const char* option : {"parameters", "output"})
    if (given(option)) throw InputError("--{}: belongs to --kernel empirical", option);
  if (k.kind.starts_with("file:")) return gram::Source::stored(k.kind.substr(5));
  kernel::Options options{.bandwidth = k.bandwidth};
  constexpr std::string_view kinds[] = {"ntk", "nngp", "gaussian", "laplace", "linear"};
  const auto* const kind = std::ranges::find(kinds, k.kind);
  if (kind == std::end(kinds))
    throw InputError("--kernel {}: give {}, empirical, file:K.h5", k.kind, fmt::join(kinds, ", "));
  options.kind = static_cast<kernel::Kind>(kind - kinds);  // the same order
  if (options.kind == kernel::Kind::ntk || options.kind == kernel::Kind::nngp)
    options.architecture = architecture().on(image_of_rows(comm));
  if (values_.count("parametrization") != 0)
    options.parametrization =
        net::parse_parametrization(values_["parametrization"].as<std::string>());
  if (k.state != "single" && k.state != "double")
    throw InputError("--state {}: give double or single", k.state);
  options.single_state = k.state == "single";
  auto kernel = kernel::make(options);
  if (const auto text = kernel->text(); kernel::parse(text)->text() != text)
    throw RunError("--kernel {}: a model of it could not be read back from \"{}\"", k.kind, text);
  return gram::Source::function(std::move(kernel));
}

net::StoredNetwork CommandLine::stored_network(const comm::Communicator& comm) const {
  const auto& k = kernel_;
  const auto& path = k.parameters;
  if (path.empty())
    throw InputError("--kernel empirical: give the weights of its network, --parameters W.h5");
  const auto file = io::Hdf5File::open(comm, path);
  const auto image = stated_image();
  auto stored = net::read_network(file, scales(), image);
  const auto& theirs = stored.network.architecture();
  const auto differs = [&](const std::string& option, const auto& typed, const auto& in_file) {
    throw InputError("--{}: is {} here but {} in --parameters {}: leave it out", option, typed,
                     in_file, path);
  };
  for (const std::string option : {"arch", "depth", "activation"}) {
    if (!given(option)) continue;
    const auto typed = architecture();
    const auto& same = typed.has_widths() ? theirs : theirs.without_widths();
    if (typed.text() != same.text()) differs(option, typed.text(), theirs.text());
  }
  if (given("image") && image != theirs.image)
    differs("image", image.text(), theirs.image.given() ? theirs.image.text() : "no image");
  const auto scale = [&](const std::string& option, double typed, double in_file) {
    const bool same = std::abs(typed - in_file) <= 1e-12 * std::abs(in_file);
    if (given(option) && !same) differs(option, typed, in_file);
  };
  const auto typed = arch::parse(theirs.text(), scales());
  scale("weight-std", typed.weight_std, theirs.weight_std);
  scale("bias-std", typed.bias_std, theirs.bias_std);
  if (data_ != nullptr && theirs.image.given()) take_image(theirs.image);
  if (given("output")) stored = net::single_output(stored, k.output);
  if (const auto p = data::find_preparation(file); p && data_ != nullptr)
    data::take_inputs(*data_, *p, "--parameters " + path,
                      {given("scale"), given("standardize"), given("unit-norm")});
  return stored;
}

}  // namespace mercer::drivers
