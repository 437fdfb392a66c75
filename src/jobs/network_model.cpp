#include "mercer/jobs/network_model.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/net/parameters.hpp"

namespace mercer::jobs {
namespace {

/// Sets what the file says of the training rows. Collective.
void read_rows(const io::Hdf5File& file, NetworkModel& model) {
  const auto& network = model.network;
  auto& p = model.preparation;
  if (auto stored = data::find_preparation(file)) {
    model.prepared = true;
    p = std::move(*stored);
    if (p.dimension != network.inputs() || p.outputs != network.outputs())
      throw InputError(
          "{}: its preparation is of rows of {} inputs and {} outputs, its network has {} and {}",
          file.path(), p.dimension, p.outputs, network.inputs(), network.outputs());
  } else {
    p.dimension = network.inputs();
    p.outputs = network.outputs();
  }
  if (!model.prepared) return;
  if (file.has_attribute("/", "n")) model.n = file.count_attribute("/", "n", 0, io::kMostCount);
  if (!file.has_attribute("/", "data_hash")) return;
  if (const auto hash = file.text_attribute("/", "data_hash"); hash != "none")
    model.rows_hash = parse_hash(hash);
}

/// Throws RunError on all ranks where a value is not finite. Collective.
void require_finite_outputs(const dist::RowBlock<double>& F, const NetworkModel& model) {
  const auto values = F.values();
  const bool finite =
      std::all_of(values.begin(), values.end(), [](double f) { return std::isfinite(f); });
  if (F.comm().all_reduce(Index{!finite}, comm::Op::max) != 0)
    throw RunError("`model` {}: the network's outputs overflow at these rows", model.file);
}

/// Whether there are biases but their factor is 0: in a file of another program that is probably not
/// meant. Local.
bool ignores_biases(const NetworkModel& model) {
  for (Index copy = 0; copy < model.network.copies(); ++copy)
    for (const auto& layer : model.network.layers()) {
      const auto first =
          model.parameters.begin() + copy * model.network.parameters_of_copy() + layer.biases;
      const auto zero = [](double b) { return b == 0; };
      if (layer.bias_scale == 0 && !std::all_of(first, first + layer.fan_out, zero)) return true;
    }
  return false;
}

}  // namespace

std::string NetworkModel::text() const {
  if (!prepared)
    return fmt::format("{} states no preparation of inputs: new rows are taken as they are{}", file,
                       ignores_biases(*this) ? "; bias_std is 0: its biases have no effect" : "");
  const auto inputs = data::input_text(preparation);
  return fmt::format("inputs of new rows are {}, as those of the training rows were",
                     inputs.empty() ? "taken as they are" : inputs);
}

NetworkModel read_network_model(const io::Hdf5File& file, bool single, const arch::Image& image) {
  if (file.contains("/alpha"))
    throw InputError("`model` {}: is a ridge regression, not a trained network", file.path());
  auto stored = net::read_network(file, {}, image);
  if (const auto& theirs = stored.network.architecture().image; image.given() && image != theirs)
    throw InputError("`image` {}: `model` {} is of {}: leave it out", image.text(), file.path(),
                     theirs.given() ? "images of " + theirs.text() : "rows that are no images");
  NetworkModel model{.network = std::move(stored.network),
                     .parameters = std::move(stored.parameters),
                     .file = file.path()};
  read_rows(file, model);
  if (single)
    for (double& w : model.parameters) w = static_cast<double>(static_cast<float>(w));
  return model;
}

data::Dataset load_new_rows(const NetworkModel& model, const std::string& spec,
                            const data::Options& options, const comm::Communicator& comm) {
  auto with_image = options;
  if (const auto& image = model.network.architecture().image; image.given())
    with_image.image = {image.height, image.width, image.channels};
  return data::load_test(spec, model.preparation, with_image, comm);
}

plan::Plan plan_prediction(const NetworkModel& model, Index m, const Resources& resources,
                           double load_seconds) {
  const auto& network = model.network;
  const int ranks = resources.shape.rows * resources.shape.cols;
  const double row = 8 * static_cast<double>(network.inputs() + network.outputs());
  const double rows = row * static_cast<double>(ceil_div(m, ranks));
  plan::Plan stages = resources.plan();
  stages.stage({.name = "load", .bytes = 2 * rows, .seconds = load_seconds});
  stages.stage(
      plan::stage("predict", "", net::outputs_cost(network, m, ranks), resources.machine, rows));
  return stages;
}

Predictions predict(const NetworkModel& model, const data::Dataset& test, Monitor& monitor) {
  if (test.outputs() > 0 && test.outputs() != model.network.outputs())
    throw InputError("the new rows have {} targets, the network {} outputs", test.outputs(),
                     model.network.outputs());
  const Monitor::Phase scope(monitor, "predict");
  auto F = net::outputs(model.network, model.parameters, test.inputs);
  require_finite_outputs(F, model);
  return evaluate(std::move(F), test, model.preparation);
}

void write(io::Hdf5File& file, const NetworkModel& model, const data::Dataset& test,
           const Predictions& predictions) {
  file.attribute("/", "network", model.network.text());
  write_errors(file, "/score", {{.scores = predictions.scores}}, model.preparation);
  write_predictions(file, test, model.preparation, predictions);
}

}  // namespace mercer::jobs
