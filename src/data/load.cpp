#include <algorithm>
#include <cmath>

#include "mercer/comm/together.hpp"
#include "mercer/data/dataset.hpp"
#include "prepare.hpp"
#include "read_set.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

Dataset dataset_of(Part part, const Contents& contents, const std::string& spec,
                   const Options& options) {
  if (options.targets_required && contents.outputs == 0)
    throw InputError(
        "{}: has no targets, and they are needed here: name them in the specification "
        "(npy:X.npy,y.npy, h5:FILE:/x,/y, idx:IMAGES,LABELS) or leave out the target "
        "'none'",
        spec);
  Dataset set;
  set.inputs = std::move(part.inputs);
  set.targets = std::move(part.targets);
  if (contents.image.height > 0) set.image = contents.image;
  set.spec = spec;
  if (options.targets_required && (contents.classes || options.one_hot))
    set.labels = labels_of(set.targets, spec);
  return set;
}

Index count_classes(const Dataset& set) {
  Index largest = -1;
  for (Index label : set.labels) largest = std::max(largest, label);
  return 1 + set.inputs.comm().all_reduce(largest, comm::Op::max);
}

void scale(Dataset& set, double factor) {
  if (factor != 1)
    for (double& x : set.inputs.values()) x *= factor;
  comm::together(set.inputs.comm(), [&] {
    for (double x : set.inputs.values())
      if (!std::isfinite(x))
        throw InputError("{}: an input times the scale {} overflows", set.spec, factor);
  });
}

/// Everything after scale: as the training set's numbers say.
void finish(Dataset& set, const Preparation& preparation, bool prepare_targets) {
  const Standardization& s = preparation.standardization;
  standardize(set.inputs, s.input_mean, s.input_deviation);
  if (preparation.unit_norm) unit_norm(set.inputs);
  if (prepare_targets && set.targets.cols() > 0) {
    standardize(set.targets, s.target_mean, s.target_deviation);
    if (preparation.one_hot) set.targets = one_hot(set.targets, set.labels, preparation.classes);
  }
  comm::together(set.inputs.comm(), [&] {
    const auto finite = [](std::span<const double> values) {
      return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
    };
    if (!finite(set.inputs.values()) || !finite(set.targets.values()))
      throw InputError("{}: a standardised value overflows", set.spec);
  });
  set.classes = preparation.classes;
  set.hash = hash_rows(set.inputs);
  set.target_hash = hash_rows(set.targets);
}

void expect_fit(const Dataset& test, const Preparation& preparation, Index target_columns) {
  if (test.dimension() != preparation.dimension)
    throw InputError("{}: has {} inputs a row, the training set has {}", test.spec,
                     test.dimension(), preparation.dimension);
  if (test.outputs() > 0 && test.outputs() != target_columns)
    throw InputError("{}: has {} targets a row, the training set has {}", test.spec, test.outputs(),
                     target_columns);
}

Request request_of(const Options& options, std::uint32_t role) {
  return {.csv_target = options.csv_target, .seed = options.seed, .role = role};
}

Dataset read_test(const std::string& text, const Options& options, Index dimension,
                  const comm::Communicator& comm) {
  Request request = request_of(options, 1);
  request.dimension = dimension;
  const Choice choice{.mask = {}, .limit = options.limit_test, .limit_name = "limit-test"};
  StoredSet stored = read_set(parse_spec(text), request, choice, comm);
  return dataset_of(std::move(stored.parts[0]), stored.contents, text, options);
}

}  // namespace

void Options::validate() const {
  for (const auto& [name, value] : {std::pair("limit", limit), std::pair("limit-test", limit_test)})
    if (value < -1 || value == 0) throw InputError("{} {}: at least 1 row is needed", name, value);
  if (!std::isfinite(scale) || scale == 0)
    throw InputError("scale {}: a finite number other than 0 is needed", scale);
}

Split load(const std::string& train_spec, const std::string& test_spec, const Options& options,
           const comm::Communicator& comm) {
  options.validate();
  if (!options.split.empty() && !test_spec.empty())
    throw InputError("the split '{}' makes the test set: leave out the test set '{}'",
                     options.split, test_spec);
  Choice choice{.mask = {}, .limit = options.limit, .limit_test = options.limit_test};
  if (!options.split.empty()) choice.mask = read_mask(options.split, comm);
  StoredSet stored = read_set(parse_spec(train_spec), request_of(options, 0), choice, comm);

  Split split;
  split.train = dataset_of(std::move(stored.parts[0]), stored.contents, train_spec, options);
  if (stored.parts.size() > 1)
    split.test = dataset_of(std::move(stored.parts[1]), stored.contents, train_spec, options);
  else if (!test_spec.empty())
    split.test = read_test(test_spec, options, split.train.dimension(), comm);

  Preparation& p = split.preparation;
  p.scale = options.scale;
  p.unit_norm = options.unit_norm;
  p.one_hot = options.one_hot && options.targets_required;
  p.dimension = split.train.dimension();
  p.csv_target = options.csv_target;
  p.classes = count_classes(split.train);
  if (split.test) {
    expect_fit(*split.test, p, split.train.outputs());
    p.classes = std::max(p.classes, count_classes(*split.test));
  }
  p.outputs = p.one_hot ? p.classes : split.train.outputs();

  scale(split.train, p.scale);
  if (split.test) scale(*split.test, p.scale);
  if (options.standardize) {
    auto inputs = column_moments(split.train.inputs);
    p.standardization.input_mean = std::move(inputs.mean);
    p.standardization.input_deviation = std::move(inputs.deviation);
    if (options.targets_required && !p.one_hot) {
      auto targets = column_moments(split.train.targets);
      p.standardization.target_mean = std::move(targets.mean);
      p.standardization.target_deviation = std::move(targets.deviation);
    }
  }
  finish(split.train, p, options.targets_required);
  if (split.test) finish(*split.test, p, options.targets_required);
  return split;
}

Dataset load_inputs(const std::string& spec, const Options& options,
                    const comm::Communicator& comm) {
  Options relaxed = options;
  relaxed.targets_required = false;
  return std::move(load(spec, "", relaxed, comm).train);
}

Dataset load_test(const std::string& spec, const Preparation& preparation, const Options& options,
                  const comm::Communicator& comm) {
  Options o = options;
  o.one_hot = preparation.one_hot;
  if (o.csv_target.empty()) o.csv_target = preparation.csv_target;
  o.validate();
  Dataset test;
  if (o.split.empty()) {
    test = read_test(spec, o, preparation.dimension, comm);
  } else {
    const Choice choice{.mask = read_mask(o.split, comm), .limit_test = o.limit_test};
    Request request = request_of(o, 0);
    request.dimension = preparation.dimension;
    StoredSet stored = read_set(parse_spec(spec), request, choice, comm);
    test = dataset_of(std::move(stored.parts[1]), stored.contents, spec, o);
  }
  expect_fit(test, preparation, preparation.one_hot ? 1 : preparation.outputs);
  if (const Index classes = count_classes(test);
      preparation.one_hot && classes > preparation.classes)
    throw InputError("{}: has the label {}, the model knows the labels 0 to {}", spec, classes - 1,
                     preparation.classes - 1);
  scale(test, preparation.scale);
  finish(test, preparation, o.targets_required);
  return test;
}

void to_target_units(const Standardization& s, RowBlock<double>& predictions) {
  if (predictions.cols() == 0) return;  // a test set without targets
  for (Index i = 0; i < predictions.local_rows(); ++i)
    for (std::size_t j = 0; j < s.target_mean.size(); ++j)
      predictions.row(i)[j] = predictions.row(i)[j] * s.target_deviation[j] + s.target_mean[j];
}

}  // namespace mercer::data
