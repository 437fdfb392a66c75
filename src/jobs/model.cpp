#include "mercer/jobs/model.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <type_traits>
#include <variant>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/krr/score.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/plan/forecast.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

constexpr const char* kRows = "/training_rows";

/// How a set was read, as stored: the names are those of the drivers' options, as in models of the
/// first layout.
struct Reading {
  const char* name;
  std::variant<std::string data::Options::*, Index data::Options::*, double data::Options::*,
               bool data::Options::*, std::uint64_t data::Options::*>
      member;
};
const Reading kReading[] = {
    {"split", &data::Options::split},         {"limit", &data::Options::limit},
    {"scale", &data::Options::scale},         {"standardize", &data::Options::standardize},
    {"unit-norm", &data::Options::unit_norm}, {"one-hot", &data::Options::one_hot},
    {"target", &data::Options::csv_target},   {"header", &data::Options::csv_header},
    {"index", &data::Options::csv_index},     {"seed", &data::Options::seed},
    {"augment", &data::Options::augment},
};

/// A line NAME=VALUE for each option of reading that differs from its default, and for the files of
/// a stored kernel.
std::string options_text(const data::Options& reading, const gram::Source& kernel) {
  const data::Options none;
  std::string text;
  const auto line = [&](const char* name, const auto& value) {
    const auto written = fmt::format("{}={}", name, value);
    if (written.find('\n') != std::string::npos)
      throw InputError("{}: a model cannot hold a name with a newline", written);
    text += written + "\n";
  };
  for (const auto& option : kReading)
    std::visit(
        [&](auto member) {
          if (reading.*member != none.*member) line(option.name, reading.*member);
        },
        option.member);
  if (kernel.is_stored())
    line("kernel", fmt::format("file:{}{}{}", kernel.matrix_path(),
                               kernel.cross_path().empty() ? "" : ",", kernel.cross_path()));
  return text;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> settings_of(const data::Options& reading) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const auto& option : kReading)
    std::visit(
        [&](auto member) {
          settings.emplace_back(option.name, fmt::format("{}", reading.*member));
        },
        option.member);
  return settings;
}

namespace {

/// The attribute `options` of a model: how to read the rows; in the first layout also the kernel.
struct StoredOptions {
  data::Options reading;
  std::string parameters;    ///< file of the weights of an empirical kernel
  std::string kernel;        ///< "file:K.h5,CROSS.h5" of a stored one
  arch::Options deviations;  ///< where the weights' file states none
};

/// The value of an option NAME=TEXT. Throws InputError.
template <class Value>
Value value_of(const std::string& where, const std::string& name, const std::string& text) {
  if constexpr (std::is_same_v<Value, std::string>) {
    return text;
  } else if constexpr (std::is_same_v<Value, bool>) {
    if (text != "true" && text != "1" && text != "false" && text != "0")
      throw InputError("{}: the attribute 'options' has '{}': true or false is wanted", where,
                       text.substr(0, 100));
    return text == "true" || text == "1";
  } else {
    std::istringstream in(text);
    Value value{};
    if (!(in >> value) || !in.eof())
      throw InputError("{}: the attribute 'options' has {}={}: a number is wanted", where, name,
                       text.substr(0, 100));
    return value;
  }
}

/// Reads an option of the kernel; false where `name` is none. Throws InputError.
bool read_kernel_option(const std::string& where, const std::string& name, const std::string& text,
                        StoredOptions& stored) {
  if (name == "parameters")
    stored.parameters = text;
  else if (name == "kernel")
    stored.kernel = text;
  else if (name == "weight-std" && text == "auto")
    stored.deviations.weight_std_auto = true;
  else if (name == "weight-std")
    stored.deviations.weight_std = value_of<double>(where, name, text);
  else if (name == "bias-std")
    stored.deviations.bias_std = value_of<double>(where, name, text);
  else if (name == "depth")  // this and the following are in the kernel's text too: only checked
    value_of<Index>(where, name, text);
  else if (name == "bandwidth")
    value_of<double>(where, name, text);
  else
    return name == "arch" || name == "activation";
  return true;
}

StoredOptions read_options(const std::string& text, const std::string& where) {
  StoredOptions stored;
  std::set<std::string> seen;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto sign = line.find('=');
    const std::string name = line.substr(0, sign),
                      value = sign == std::string::npos ? "" : line.substr(sign + 1);
    if (!seen.insert(name).second)
      throw InputError("{}: the attribute 'options' has {} twice", where, name.substr(0, 100));
    const auto* option = std::ranges::find(kReading, name, &Reading::name);
    if (option != std::end(kReading))
      std::visit(
          [&](auto member) {
            auto& to = stored.reading.*member;
            to = value_of<std::remove_reference_t<decltype(to)>>(where, name, value);
          },
          option->member);
    else if (sign == std::string::npos || !read_kernel_option(where, name, value, stored))
      throw InputError("{}: the attribute 'options' has {}: a model has no such option", where,
                       line.substr(0, 200));
  }
  return stored;
}

/// Sets model.kernel.
void read_kernel(const io::Hdf5File& file, const StoredOptions& stored, RidgeModel& model) {
  const auto text = file.text_attribute("/", "kernel");
  if (text.starts_with("file:")) {
    model.kernel = gram::Source::stored(stored.kernel.starts_with("file:") ? stored.kernel.substr(5)
                                                                           : text.substr(5));
    return;
  }
  if (!text.starts_with("empirical(")) {
    model.kernel = gram::Source::function(kernel::parse(text));
    if (model.kernel.text() != text)
      throw InputError("{}: was fitted with the kernel {}, which is now {}", file.path(), text,
                       model.kernel.text());
    return;
  }
  auto network = file.contains("/parameters/layer0/W")
                     ? net::read_network(file)
                     : net::read_network(io::Hdf5File::open(file.comm(), stored.parameters),
                                         stored.deviations);
  auto kernel = net::empirical_kernel(network.network, std::move(network.parameters));
  if (kernel->text() != text)
    throw InputError("{}: was fitted with the kernel {}, which is now {}", file.path(), text,
                     kernel->text());
  model.kernel = gram::Source::function(std::move(kernel));
}

/// Everything but the kernel.
RidgeModel read_parts(const io::Hdf5File& file) {
  if (!file.contains("/alpha") || !file.has_attribute("/", "options"))
    throw InputError("`model` {}: is not a ridge regression that can predict (no /alpha)",
                     file.path());
  RidgeModel model;
  model.file = file.path();
  model.reading = read_options(file.text_attribute("/", "options"), file.path()).reading;
  model.preparation = data::read_preparation(file);
  model.preparation.train = file.text_attribute("/", "train");
  const Index n = file.count_attribute("/", "n", 1, io::kMostCount);
  model.alpha = file.read_rows<double>("/alpha", n, std::max<Index>(1, model.preparation.outputs));
  model.rows_hash = parse_hash(file.text_attribute("/", "data_hash"));
  if (file.contains(kRows)) {
    model.rows = file.read_rows<double>(kRows, n, model.preparation.dimension);
    if (data::hash_rows(model.rows) != model.rows_hash)
      throw InputError("{}: {} does not match the attribute 'data_hash'", file.path(), kRows);
  }
  model.ridge = file.read_number("/ridge");
  if (model.ridge < 0) throw InputError("{}: /ridge is {}, negative", file.path(), model.ridge);
  if (file.has_attribute("/", "matrix_kernel"))
    model.matrix_kernel = file.text_attribute("/", "matrix_kernel");
  if (!file.has_attribute("/", "temperature")) return model;
  model.temperature = file.number_attribute("/", "temperature");  // infinite: equal probabilities
  if (!(*model.temperature > 0) || !model.preparation.one_hot)
    throw InputError("{}: the attribute 'temperature' is {}: {}", file.path(), *model.temperature,
                     model.preparation.one_hot ? "it must be positive"
                                               : "a model without one-hot targets has none");
  return model;
}

/// Throws InputError unless the options tell how the rows were prepared. Local.
void check_reading(const data::Options& reading, const data::Preparation& p) {
  if (reading.scale == p.scale && reading.unit_norm == p.unit_norm &&
      reading.one_hot == p.one_hot && reading.csv_target == p.csv_target &&
      reading.standardize == !p.standardization.input_mean.empty())
    return;
  throw InputError(
      "`reference`: `reading` does not say how the training rows were prepared: take the options "
      "that data::load() read them with (Dataset::reading)");
}

/// Throws InputError for what read_parts() or load_rows() would refuse. Collective.
void check_readable(const RidgeModel& model, bool reference) {
  const auto& p = model.preparation;
  const Index n = model.n(), d = p.dimension, c = model.alpha.cols();
  if (n == 0 || c == 0 || c != p.outputs)
    throw InputError("a model of {} x {} coefficients, but {} outputs in its `preparation`", n, c,
                     p.outputs);
  if (p.one_hot && p.classes.size() != c)
    throw InputError("a model of {} classes and {} outputs", p.classes.size(), c);
  if (reference && (p.train.empty() || p.train == data::kRowsInMemory))
    throw InputError("`reference`: the training rows are in no file");
  if (reference) check_reading(model.reading, p);
  if (!reference && (model.rows.rows() != n || model.rows.cols() != d))
    throw InputError("a model of {} x {} training rows, but it holds {} x {}{}", n, d,
                     model.rows.rows(), model.rows.cols(),
                     model.refers() ? ": load them with load_rows()" : "");
  if (!reference && data::hash_rows(model.rows) != model.rows_hash)
    throw InputError("`rows_hash` is not the hash of the model's training rows");
  if (!(model.ridge >= 0 && std::isfinite(model.ridge)))
    throw InputError("`ridge` {}: must be finite and not negative", model.ridge);
  if (model.temperature.has_value() && (!(*model.temperature > 0) || !p.one_hot))
    throw InputError("`temperature` {}: must be positive, and the targets one-hot",
                     *model.temperature);
  const auto a = model.alpha.values();
  comm::agree_or_throw(model.alpha.comm(),
                       std::ranges::all_of(a, [](double x) { return std::isfinite(x); }),
                       ExitCode::bad_input, "the coefficients hold a NaN or an infinity");
}

/// The network of an empirical kernel. Throws InputError where the kernel could not be made from it
/// again. Local.
std::optional<net::StoredNetwork> network_of(const gram::Source& kernel) {
  if (kernel.is_stored()) return std::nullopt;
  auto network = net::network_of(kernel.kernel());
  if (network.has_value() &&
      net::empirical_kernel(network->network, network->parameters)->text() != kernel.text())
    throw InputError("{}: a model holds the trace kernel of a network, not this one",
                     kernel.text());
  return network;
}

}  // namespace

RidgeModel model_of(const RidgePlan& plan, const RidgeFit& fit, data::Dataset&& train,
                    data::Preparation preparation) {
  const auto& best = fit.best_fit();
  require_planned(plan.rows_hash, train);
  if (train.rows() != best.alpha.rows() || train.outputs() != best.alpha.cols())
    throw InputError("a fit of {} x {} coefficients, but {} training rows with {} targets",
                     best.alpha.rows(), best.alpha.cols(), train.rows(), train.outputs());
  RidgeModel model{.kernel = plan.kernel, .preparation = std::move(preparation)};
  model.reading = std::move(train.reading);
  model.rows = std::move(train.inputs);
  model.rows_hash = train.hash;
  model.alpha = best.alpha.copy();
  model.ridge = best.ridge;
  model.temperature = fit.temperature;
  if (plan.kernel.is_stored())
    model.matrix_kernel = gram::stored_kernel(best.alpha.comm(), plan.kernel.matrix_path());
  return model;
}

void write(io::Hdf5File& file, const RidgeModel& model, bool reference) {
  check_readable(model, reference);
  const auto network = network_of(model.kernel);
  file.attribute("/", "options", options_text(model.reading, model.kernel));
  file.attribute("/", "train", model.preparation.train);
  if (!reference) file.write(kRows, model.rows);
  data::write(file, model.preparation);
  file.write("/alpha", model.alpha);
  file.write("/ridge", std::vector<double>{model.ridge});
  file.attribute("/", "kernel", model.kernel.text());
  if (model.matrix_kernel.has_value()) file.attribute("/", "matrix_kernel", *model.matrix_kernel);
  file.attribute("/", "n", model.n());
  file.attribute("/", "data_hash", hash_text(model.rows_hash));
  if (model.temperature.has_value()) file.attribute("/", "temperature", *model.temperature);
  if (network.has_value()) net::write<double>(file, network->network, network->parameters);
}

RidgeModel read_model(const io::Hdf5File& file, gram::Source kernel) {
  if (const auto text = file.text_attribute("/", "kernel"); text != kernel.text())
    throw InputError("`model` {}: was fitted with the kernel {}, not {}", file.path(), text,
                     kernel.text());
  auto model = read_parts(file);
  model.kernel = std::move(kernel);
  return model;
}

RidgeModel read_model(const io::Hdf5File& file) {
  auto model = read_parts(file);
  const auto stored = read_options(file.text_attribute("/", "options"), file.path());
  if (!file.contains("/parameters/layer0/W")) model.parameters = stored.parameters;
  read_kernel(file, stored, model);
  return model;
}

void load_rows(RidgeModel& model, const std::string& spec, const data::Options& options,
               const comm::Communicator& comm) {
  const std::string& from = spec.empty() ? model.preparation.train : spec;
  auto reading = model.reading;
  reading.targets_required = false;
  reading.memory_limit = options.memory_limit;
  // The rows' own means, or those of the file whose preparation they were given.
  reading.inputs_as = std::make_shared<const data::Preparation>(model.preparation);
  reading.inputs_from = "`model` " + model.file;
  auto split = [&] {
    try {
      return data::load(from, "", reading, comm);
    } catch (const InputError& error) {
      throw InputError(
          "`model` {}: its training rows, {}, are needed again: {}{}", model.file, from,
          error.what(),
          spec.empty() ? " (if they have moved, `train` SPEC says where they are)" : "");
    }
  }();
  if (split.train.hash != model.rows_hash)
    throw InputError("`model` {}: was trained on other rows than {} holds now (hash {}, now {})",
                     model.file, from, hash_text(model.rows_hash), hash_text(split.train.hash));
  if (split.train.rows() != model.n() || split.train.dimension() != model.preparation.dimension)
    throw InputError("`model` {}: is one of {} x {} training rows, {} holds {} x {}", model.file,
                     model.n(), model.preparation.dimension, from, split.train.rows(),
                     split.train.dimension());
  model.rows = std::move(split.train.inputs);
}

plan::Plan plan_prediction(const RidgeModel& model, Index m, const Resources& resources) {
  plan::Plan stages = resources.plan();
  stages.stage(plan::predict(resources.machine, {.n = model.n(),
                                                 .d = model.preparation.dimension,
                                                 .c = model.alpha.cols(),
                                                 .m = m,
                                                 .shape = resources.shape,
                                                 .kernel = gram::kernel_of(model.kernel)}));
  return stages;
}

namespace {

/// Lines on what the files of the kernel leave unverified. Collective.
std::vector<std::string> verify(gram::Source& kernel, const RidgeModel& model,
                                const data::Dataset& test) {
  if (kernel.is_stored() && model.matrix_kernel.has_value() && !kernel.cross_path().empty()) {
    const auto there = gram::stored_kernel(model.alpha.comm(), kernel.cross_path());
    if (there.has_value() && *there != *model.matrix_kernel)
      throw InputError("{}: holds entries of {}, but `model` {} was fitted with a matrix of {}",
                       kernel.cross_path(), *there, model.file, *model.matrix_kernel);
  }
  if (!kernel.is_stored()) check_images(kernel.kernel().image(), test, "the model's kernel takes");
  return kernel.verify_cross(
      model.alpha.comm(), identity_of("test", test),
      {fmt::format("the training rows ({})", model.preparation.train), model.rows_hash, model.n()});
}

}  // namespace

void verify_kernel(RidgeModel& model, const data::Dataset& test, Monitor& monitor) {
  for (const auto& line : verify(model.kernel, model, test)) monitor.log("kernel", line);
}

Predictions predict(const RidgeModel& model, const data::Dataset& test, Monitor& monitor,
                    const gram::Options& options) {
  if (model.refers() && !model.kernel.is_stored())
    throw InputError("`model`: refers to its training rows, which must be loaded first");
  if (test.outputs() > 0 && test.outputs() != model.alpha.cols())
    throw InputError("the new rows have {} targets, the model {} outputs", test.outputs(),
                     model.alpha.cols());
  auto kernel = model.kernel;
  for (const auto& line : verify(kernel, model, test)) monitor.log("kernel", line);
  auto f = monitor.phase("predict", [&] {
    auto with_progress = options;
    with_progress.progress = monitor.shares();
    return gram::apply_cross(kernel, test.inputs, model.rows, model.alpha, with_progress);
  });
  return evaluate(std::move(f), test, model.preparation, model.temperature);
}

}  // namespace mercer::jobs
