#include "mercer/jobs/model.hpp"

#include <algorithm>
#include <set>
#include <sstream>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/krr/score.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/plan/forecast.hpp"

namespace mercer::jobs {
namespace {

constexpr const char* kRows = "/training_rows";

/// A line NAME=VALUE for each option of reading that differs from its default, and for the files of
/// a stored kernel. Names are those of the drivers' options, as in models of the first layout.
std::string options_text(const data::Options& reading, const gram::Source& kernel) {
  const data::Options none;
  std::string text;
  const auto line = [&](const char* name, const auto& value, const auto& default_value) {
    if (value != default_value) text += fmt::format("{}={}\n", name, value);
  };
  line("split", reading.split, none.split);
  line("limit", reading.limit, none.limit);
  line("scale", reading.scale, none.scale);
  line("standardize", reading.standardize, none.standardize);
  line("unit-norm", reading.unit_norm, none.unit_norm);
  line("one-hot", reading.one_hot, none.one_hot);
  line("target", reading.csv_target, none.csv_target);
  line("header", reading.csv_header, none.csv_header);
  line("index", reading.csv_index, none.csv_index);
  line("seed", reading.seed, none.seed);
  if (kernel.is_stored())
    text += fmt::format("kernel=file:{}{}{}\n", kernel.matrix_path(),
                        kernel.cross_path().empty() ? "" : ",", kernel.cross_path());
  return text;
}

/// The attribute `options` of a model: how to read the rows; in the first layout also the kernel.
struct StoredOptions {
  data::Options reading;
  std::string parameters;    ///< file of the weights of an empirical kernel
  std::string kernel;        ///< "file:K.h5,CROSS.h5" of a stored one
  arch::Options deviations;  ///< where the weights' file states none
};

template <class Number>
Number number(const std::string& where, const std::string& name, const std::string& text) {
  std::istringstream in(text);
  Number value{};
  if (!(in >> value) || !in.eof())
    throw InputError("{}: the attribute 'options' has {}={}: a number is wanted", where, name,
                     text.substr(0, 100));
  return value;
}

StoredOptions read_options(const std::string& text, const std::string& where) {
  StoredOptions stored;
  auto& r = stored.reading;
  const auto is_on = [&](const std::string& value) {
    if (value != "true" && value != "1" && value != "false" && value != "0")
      throw InputError("{}: the attribute 'options' has '{}': true or false is wanted", where,
                       value.substr(0, 100));
    return value == "true" || value == "1";
  };
  std::set<std::string> seen;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto sign = line.find('=');
    const std::string name = line.substr(0, sign),
                      value = sign == std::string::npos ? "" : line.substr(sign + 1);
    if (!seen.insert(name).second)
      throw InputError("{}: the attribute 'options' has {} twice", where, name.substr(0, 100));
    if (name == "split")
      r.split = value;
    else if (name == "limit")
      r.limit = number<Index>(where, name, value);
    else if (name == "scale")
      r.scale = number<double>(where, name, value);
    else if (name == "standardize")
      r.standardize = is_on(value);
    else if (name == "unit-norm")
      r.unit_norm = is_on(value);
    else if (name == "one-hot")
      r.one_hot = is_on(value);
    else if (name == "target")
      r.csv_target = value;
    else if (name == "header")
      r.csv_header = value;
    else if (name == "index")
      r.csv_index = value;
    else if (name == "seed")
      r.seed = number<std::uint64_t>(where, name, value);
    else if (name == "parameters")
      stored.parameters = value;
    else if (name == "kernel")
      stored.kernel = value;
    else if (name == "weight-std" && value == "auto")
      stored.deviations.weight_std_auto = true;
    else if (name == "weight-std")
      stored.deviations.weight_std = number<double>(where, name, value);
    else if (name == "bias-std")
      stored.deviations.bias_std = number<double>(where, name, value);
    else if (name == "depth")  // this and the following are in the kernel's text too: only checked
      number<Index>(where, name, value);
    else if (name == "bandwidth")
      number<double>(where, name, value);
    else {
      constexpr const char* kKernel[] = {"arch", "activation"};
      if (sign == std::string::npos || std::ranges::count(kKernel, name) == 0)
        throw InputError("{}: the attribute 'options' has {}: a model has no such option", where,
                         line.substr(0, 200));
    }
  }
  return stored;
}

/// Sets model.kernel, and model.network for an empirical one.
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
  model.network = file.contains("/parameters/layer0/W")
                      ? net::read_network(file)
                      : net::read_network(io::Hdf5File::open(file.comm(), stored.parameters),
                                          stored.deviations);
  auto kernel = net::empirical_kernel(model.network->network, model.network->parameters);
  if (kernel->text() != text)
    throw InputError("{}: was fitted with the kernel {}, which is now {}", file.path(), text,
                     kernel->text());
  model.kernel = gram::Source::function(std::move(kernel));
}

/// Everything but the kernel.
RidgeModel read_parts(const io::Hdf5File& file) {
  if (!file.contains("/alpha") || !file.has_attribute("/", "options"))
    throw InputError("`model` {}: is not a result of mercer-krr that can predict (no /alpha)",
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
  if (!file.has_attribute("/", "temperature")) return model;
  model.temperature = file.number_attribute("/", "temperature");  // infinite: equal probabilities
  if (!(*model.temperature > 0) || !model.preparation.one_hot)
    throw InputError("{}: the attribute 'temperature' is {}: {}", file.path(), *model.temperature,
                     model.preparation.one_hot ? "it must be positive"
                                               : "a model without one-hot targets has none");
  return model;
}

}  // namespace

template <class T>
RidgeModel model_of(const RidgeFit<T>& fit, const gram::Source& kernel, data::Dataset&& train,
                    data::Preparation preparation) {
  RidgeModel model{.kernel = kernel, .preparation = std::move(preparation)};
  model.rows = std::move(train.inputs);
  model.rows_hash = train.hash;
  model.alpha = fit.best_fit().alpha.copy();
  model.ridge = fit.best_fit().ridge;
  model.temperature = fit.temperature;
  return model;
}

void write(io::Hdf5File& file, const RidgeModel& model, bool reference) {
  if (reference && model.preparation.train == data::kRowsInMemory)
    throw InputError("`model_rows` reference: the training rows are in no file");
  file.attribute("/", "options", options_text(model.reading, model.kernel));
  file.attribute("/", "train", model.preparation.train);
  if (!reference) file.write(kRows, model.rows);
  data::write(file, model.preparation);
  file.write("/alpha", model.alpha);
  if (!file.has_attribute("/", "kernel")) {  // otherwise the record of a run has written these
    file.attribute("/", "kernel", model.kernel.text());
    file.attribute("/", "n", model.n());
    file.attribute("/", "data_hash", hash_text(model.rows_hash));
    file.write("/ridge", std::vector<double>{model.ridge});
  }
  if (model.temperature.has_value()) file.attribute("/", "temperature", *model.temperature);
  if (model.network.has_value())
    net::write<double>(file, model.network->network, model.network->parameters);
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
  auto split = [&] {
    try {
      return data::load(from, "", reading, comm);
    } catch (const InputError& error) {
      throw InputError("`model` {}: its training rows, {}, are needed again: {}", model.file, from,
                       error.what());
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

Predictions predict(const RidgeModel& model, const data::Dataset& test, Monitor& monitor,
                    const gram::Options& options) {
  if (model.refers() && !model.kernel.is_stored())
    throw InputError("`model`: refers to its training rows, which must be loaded first");
  auto f = monitor.phase("predict", [&] {
    auto with_progress = options;
    with_progress.progress = monitor.shares();
    return gram::apply_cross(model.kernel, test.inputs, model.rows, model.alpha, with_progress);
  });
  return evaluate(std::move(f), test, model.preparation, model.temperature);
}

template RidgeModel model_of<double>(const RidgeFit<double>&, const gram::Source&, data::Dataset&&,
                                     data::Preparation);
template RidgeModel model_of<float>(const RidgeFit<float>&, const gram::Source&, data::Dataset&&,
                                    data::Preparation);

}  // namespace mercer::jobs
