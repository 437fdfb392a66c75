#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "augment.hpp"
#include "classes.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/data/dataset.hpp"
#include "notes.hpp"
#include "prepare.hpp"
#include "read_set.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

/// Marks rows that lack one of their targets as rows without targets, and counts the others.
/// Collective.
void find_known_rows(Dataset& set) {
  Index known = 0;
  for (Index i = 0; i < set.targets.local_rows() && set.outputs() > 0; ++i) {
    const auto row = set.targets.row(i);
    const bool whole = std::none_of(row.begin(), row.end(), [](double y) { return std::isnan(y); });
    if (!whole) std::fill(row.begin(), row.end(), std::numeric_limits<double>::quiet_NaN());
    known += whole ? 1 : 0;
  }
  set.known_rows = set.inputs.comm().all_reduce(known, comm::Op::sum);
}

/// A data set of the rows of a part, with what the format says of them, but no labels yet.
/// Collective.
Dataset dataset_of(Part part, const Contents& contents, const std::string& spec) {
  Dataset set;
  set.inputs = std::move(part.inputs);
  set.targets = std::move(part.targets);
  set.file_rows = std::move(part.file_rows);
  set.input_names = contents.input_names;
  set.target_names = contents.target_names;
  if (contents.image.height > 0) set.image = contents.image;
  set.spec = spec;
  find_known_rows(set);
  set.warnings = contents.warnings;
  set.notes.push_back(reading(set));
  set.notes.insert(set.notes.end(), contents.notes.begin(), contents.notes.end());
  return set;
}

std::string shape_text(const ImageShape& image) {
  return fmt::format("{}x{}x{}", image.height, image.width, image.channels);
}

/// Removes the target columns where no row has targets: of test rows, or where targets do not
/// matter. Collective.
void drop_unknown_targets(Dataset& set) {
  if (set.outputs() > 0 && set.known_rows == 0)
    set.targets = comm::together(
        set.inputs.comm(), [&] { return RowBlock<double>(set.inputs.comm(), set.rows(), 0); });
}

/// Throws InputError unless every training row has targets. Collective.
void expect_targets(const Dataset& train) {
  if (train.outputs() == 0)
    throw InputError(
        "{}: has no targets, which are needed here: name them in the specification "
        "(npy:X.npy,y.npy, h5:FILE:/x,/y, idx:IMAGES,LABELS), a label first in every row (libsvm), "
        "or, of a CSV file, by `target`",
        train.spec);
  const Index missing = train.rows() - train.known_rows;
  if (missing == 0) return;
  Index first = std::numeric_limits<Index>::max();
  for (Index i = train.targets.local_rows() - 1; i >= 0; --i)
    if (!train.known(i)) first = train.file_rows[static_cast<std::size_t>(i)];
  first = train.inputs.comm().all_reduce(first, comm::Op::min);
  throw InputError(
      "{}: {} of {} training rows {} no target, the first of them data row {} (counted from 1): "
      "fill in what is missing, leave these rows out of the file, or make them test rows, which "
      "are predicted without targets (`split`, `test`)",
      train.spec, missing, train.rows(), missing == 1 ? "has" : "have", first + 1);
}

/// Leaves out targets that no row has, or refuses rows without them, as the options say. Decides
/// whether targets are prepared where the options leave it to the rows. Collective.
void settle_targets(Dataset& train, Options& options) {
  if (options.prepare_targets && train.outputs() > 0 && train.known_rows == train.rows())
    options.targets_required = true;
  if (options.targets_required)
    expect_targets(train);
  else
    drop_unknown_targets(train);
}

/// Throws InputError where options of CSV files are given but none of these is one. Local.
void expect_csv(const Options& options, const std::vector<std::string>& specs) {
  const bool csv = std::any_of(specs.begin(), specs.end(), [](const std::string& spec) {
    return !spec.empty() && parse_spec(spec).format == Spec::Format::csv;
  });
  if (csv) return;
  const auto refuse = [&](const char* name, const std::string& value, const char* instead) {
    throw InputError("`{}` {}: is for CSV files, but {} is none{}", name, value, specs[0], instead);
  };
  if (!options.csv_target.empty())
    refuse(
        "target", options.csv_target,
        ": the specification names the targets of other formats (npy:X.npy,y.npy, h5:FILE:/x,/y)");
  if (options.csv_header != "auto") refuse("header", options.csv_header, "");
  if (options.csv_index != "auto") refuse("index", options.csv_index, "");
}

LabelColumn labels_in(const Dataset& set, const Contents& contents) {
  return {set.targets, contents.label_names, set.file_rows, set.spec};
}

/// Sets the labels of rows that have targets, where there are classes. Collective.
void label(Dataset& set, const Contents& contents, const Classes& classes) {
  if (!classes.empty() && set.outputs() > 0)
    set.labels = find_labels(labels_in(set, contents), classes);
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

/// Prepares a set after scale() with the training set's numbers, and hashes it. Collective.
void finish(Dataset& set, const Preparation& preparation, bool prepare_targets) {
  const Standardization& s = preparation.standardization;
  standardize(set.inputs, s.input_mean, s.input_deviation);
  if (preparation.unit_norm) unit_norm(set.inputs);
  if (prepare_targets && set.targets.cols() > 0) {
    standardize(set.targets, s.target_mean, s.target_deviation);
    if (preparation.one_hot)
      set.targets = one_hot(set.targets, set.labels, preparation.classes.size());
  }
  comm::together(set.inputs.comm(), [&] {
    const auto finite = [](std::span<const double> values) {
      return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
    };
    const auto infinite = [](double y) { return std::isinf(y); };
    const auto targets = set.targets.values();
    if (!finite(set.inputs.values()) || std::any_of(targets.begin(), targets.end(), infinite))
      throw InputError("{}: a standardised value overflows", set.spec);
  });
  set.classes = preparation.classes;
  set.hash = hash_rows(set.inputs);
  set.target_hash = hash_rows(set.targets);
}

void expect_fit(const Dataset& test, const Preparation& preparation, Index target_columns) {
  // Without a training set, new rows are those of a model that another program made.
  const bool model = preparation.train.empty();
  if (test.dimension() != preparation.dimension)
    throw InputError("{}: has {} inputs a row, the {} {}", test.spec, test.dimension(),
                     model ? "model takes" : "training set has", preparation.dimension);
  if (test.outputs() > 0 && test.outputs() != target_columns)
    throw InputError("{}: has {} targets a row, the {} {}", test.spec, test.outputs(),
                     model ? "model has outputs for" : "training set has", target_columns);
}

Request request_of(const Options& options, std::uint32_t role) {
  Request request;
  request.csv_target = options.csv_target;
  request.csv_header = options.csv_header;
  request.csv_index = options.csv_index;
  request.seed = options.seed;
  request.role = role;
  request.text = !options.targets_required ? Request::Text::left_out
                 : options.one_hot         ? Request::Text::classes
                                           : Request::Text::refused;
  return request;
}

/// Reads test rows from a specification of their own; of the training set only `preparation` is
/// used. `held`: bytes a rank that rows read before take. Collective.
std::pair<Dataset, Contents> read_test(const std::string& text, const Options& options,
                                       const Preparation& preparation, double held,
                                       const comm::Communicator& comm) {
  Request request = request_of(options, 1);
  request.training = &preparation;
  const Choice choice{.limit = options.limit_test,
                      .limit_name = "limit_test",
                      .memory_limit = options.memory_limit,
                      .memory_held = held};
  StoredSet stored = read_set(parse_spec(text), request, choice, comm);
  auto set = dataset_of(std::move(stored.parts[0]), stored.contents, text);
  drop_unknown_targets(set);
  return {std::move(set), std::move(stored.contents)};
}

/// The preparation so far: all but the training rows' means and deviations. Collective.
Preparation preparation_of(const Dataset& train, const Contents& contents, const Options& options) {
  Preparation p;
  p.train = train.spec;
  p.scale = options.scale;
  p.unit_norm = options.unit_norm;
  p.one_hot = options.one_hot && options.targets_required;
  p.dimension = train.dimension();
  p.outputs = train.outputs();
  p.input_names = train.input_names;
  p.target_names = train.target_names;
  p.csv_target = options.csv_target;
  p.csv = contents.csv;
  p.libsvm_base = contents.libsvm_base;
  if (options.targets_required && (contents.classes || options.one_hot))
    p.classes = find_classes(labels_in(train, contents));
  if (!p.one_hot) return p;
  if (p.classes.size() == 1)
    throw InputError("`one_hot`: every training row of {} has the label {}: two classes are needed",
                     train.spec, p.classes.names[0]);
  p.outputs = p.classes.size();
  return p;
}

void note_constants(Dataset& train, const Moments& moments, const std::vector<std::string>& names,
                    const char* what) {
  if (moments.constant.empty()) return;
  const auto count = moments.constant.size();
  train.notes.push_back(fmt::format("{} {}{} constant, only centred: {}", count, what,
                                    count == 1 ? " is" : "s are",
                                    shortened(moments.constant, names)));
}

/// Inputs are to be prepared as options.inputs_as says: sets all of it in `p` and notes it. Throws
/// InputError for rows of another dimension. Local.
void prepare_inputs_as(Dataset& train, const Options& options, Preparation& p) {
  const Preparation& as = *options.inputs_as;
  if (as.dimension != train.dimension())
    throw InputError("{}: has {} inputs a row, but {} is for rows of {} inputs", train.spec,
                     train.dimension(), options.inputs_from, as.dimension);
  p.scale = train.reading.scale = as.scale;
  p.unit_norm = train.reading.unit_norm = as.unit_norm;
  p.standardization.input_mean = as.standardization.input_mean;
  p.standardization.input_deviation = as.standardization.input_deviation;
  train.reading.standardize = !as.standardization.input_mean.empty();
  if (const auto text = input_text(as); !text.empty())
    train.notes.push_back(
        fmt::format("inputs are prepared as {} states: {}", options.inputs_from, text));
}

/// Sets the means and deviations of the training rows in `p`; those of inputs are there already
/// where options.inputs_as says them. Notes constant columns. Collective.
void find_moments(Dataset& train, const Options& options, Preparation& p) {
  Standardization& s = p.standardization;
  if (!options.inputs_as) {
    auto inputs = column_moments(train.inputs);
    note_constants(train, inputs, train.input_names, "input");
    s.input_mean = std::move(inputs.mean);
    s.input_deviation = std::move(inputs.deviation);
  }
  if (!options.targets_required || p.one_hot) return;
  auto outputs = column_moments(train.targets);
  note_constants(train, outputs, train.target_names, "target");
  s.target_mean = std::move(outputs.mean);
  s.target_deviation = std::move(outputs.deviation);
}

}  // namespace

void Options::validate() const {
  for (const auto& [name, value] : {std::pair("limit", limit), std::pair("limit_test", limit_test)})
    if (value < -1 || value == 0) throw InputError("`{}` {}: give at least 1 row", name, value);
  if (!std::isfinite(scale) || scale == 0)
    throw InputError("`scale` {}: give a finite number other than 0", scale);
  if (!split.empty()) parse_mask_spec(split);
  parse_augmentation(augment);
  if (csv_header != "yes" && csv_header != "no" && csv_header != "auto")
    throw InputError("`header` {}: give yes, no or auto", csv_header);
}

void take_inputs(Options& options, const Preparation& there, const std::string& from,
                 InputFields set) {
  const bool standardized = !there.standardization.input_mean.empty();
  const auto text = input_text(there);
  for (const auto& [field, differs] :
       {std::pair{"scale", set.scale && options.scale != there.scale},
        {"standardize", set.standardize && options.standardize != standardized},
        {"unit_norm", set.unit_norm && options.unit_norm != there.unit_norm}})
    if (differs)
      throw InputError("`{}`: contradicts {}, whose inputs were {}: leave it out", field, from,
                       text.empty() ? "taken as they are" : text);
  options.inputs_as = std::make_shared<const Preparation>(there);
  options.inputs_from = from;
}

void expect_image(const Dataset& set, const ImageShape& image, const std::string& whose) {
  const ImageShape theirs = set.image.value_or(image);
  const Index numbers = image.height * image.width * image.channels;
  if (set.dimension() != numbers && !set.image)
    throw InputError("{}: rows of {} numbers are not images of {}, which have {}: {} {}", set.spec,
                     set.dimension(), shape_text(image), numbers, whose, shape_text(image));
  const bool signal = theirs.channels == 1 && image == ImageShape{theirs.height, 1, theirs.width};
  if (theirs != image && !signal)
    throw InputError("{}: its images are {}, but {} {}", set.spec, shape_text(theirs), whose,
                     shape_text(image));
}

Split load(const std::string& train_spec, const std::string& test_spec, const Options& given,
           const comm::Communicator& comm) {
  Options options = given;
  options.targets_required |= options.prepare_targets && options.one_hot;
  options.validate();
  if (!options.split.empty() && !test_spec.empty())
    throw InputError("`split` {}: makes the test set: leave out the test set {}", options.split,
                     test_spec);
  if (options.limit_test > 0 && options.split.empty() && test_spec.empty())
    throw InputError("`limit_test` {}: there is no test set: give one, or `split`",
                     options.limit_test);
  expect_csv(options, {train_spec, test_spec});
  const Choice choice{.split = options.split,
                      .limit = options.limit,
                      .limit_test = options.limit_test,
                      .memory_limit = options.memory_limit};
  StoredSet stored = read_set(parse_spec(train_spec), request_of(options, 0), choice, comm);

  Split split;
  Dataset& train = split.train;
  train = dataset_of(std::move(stored.parts[0]), stored.contents, train_spec);
  train.reading = given;
  if (options.image) {
    expect_image(train, *options.image, "`image` is");
    train.image = options.image;
  }
  settle_targets(train, options);
  Preparation& p = split.preparation = preparation_of(train, stored.contents, options);
  if (options.inputs_as) prepare_inputs_as(train, options, p);
  label(train, stored.contents, p.classes);
  if (options.targets_required && !p.one_hot && train.outputs() > 0)
    if (auto note = classes_forgotten(train.targets); !note.empty())
      train.notes.push_back(std::move(note));
  if (p.one_hot && 2 * p.classes.size() > train.rows())
    train.notes.push_back(
        fmt::format("{} classes in {} rows: labels that look like measurements, which are "
                    "regressed without `one_hot`",
                    p.classes.size(), train.rows()));
  if (stored.parts.size() > 1) {
    split.test = dataset_of(std::move(stored.parts[1]), stored.contents, train_spec);
    split.test->warnings.clear();  // the training set has them: it is the same file
    drop_unknown_targets(*split.test);
    label(*split.test, stored.contents, p.classes);
  } else if (!test_spec.empty()) {
    const double held =
        bytes_of_rows(train.rows(), static_cast<double>(train.dimension() + train.outputs()), comm);
    auto [test, contents] = read_test(test_spec, options, p, held, comm);
    expect_fit(test, p, train.outputs());
    if (train.image) expect_image(test, *train.image, "those of the training set are");
    label(test, contents, p.classes);
    split.test = std::move(test);
  }

  augment(train, parse_augmentation(options.augment), options.memory_limit);
  scale(train, p.scale);
  if (split.test) scale(*split.test, p.scale);
  if (options.standardize) find_moments(train, options, p);
  finish(train, p, options.targets_required);
  if (split.test) finish(*split.test, p, options.targets_required);
  return split;
}

Dataset load_inputs(const std::string& spec, const Options& options,
                    const comm::Communicator& comm) {
  if (options.limit_test > 0)
    throw InputError("`limit_test` {}: no test rows are read here: leave it out",
                     options.limit_test);
  Options relaxed = options;
  relaxed.targets_required = false;
  return std::move(load(spec, "", relaxed, comm).train);
}

Dataset load_test(const std::string& spec, const Preparation& preparation, const Options& options,
                  const comm::Communicator& comm) {
  Options o = options;
  o.one_hot = preparation.one_hot;
  o.targets_required = true;
  if (o.csv_target == preparation.csv_target) o.csv_target.clear();
  o.validate();
  Options other = o;  // what differs from the training set's
  if (o.csv_header == preparation.csv.header) other.csv_header = "auto";
  if (o.csv_index == preparation.csv.index) other.csv_index = "auto";
  expect_csv(other, {spec});
  Dataset test;
  Contents contents;
  if (o.split.empty()) {
    std::tie(test, contents) = read_test(spec, o, preparation, 0, comm);
  } else {
    const Choice choice{
        .split = o.split, .limit_test = o.limit_test, .memory_limit = o.memory_limit};
    Request request = request_of(o, 0);
    request.training = &preparation;
    StoredSet stored = read_set(parse_spec(spec), request, choice, comm);
    test = dataset_of(std::move(stored.parts[1]), stored.contents, spec);
    drop_unknown_targets(test);
    contents = std::move(stored.contents);
  }
  expect_fit(test, preparation, preparation.one_hot ? 1 : preparation.outputs);
  if (options.image) expect_image(test, *options.image, "the model takes");
  label(test, contents, preparation.classes);
  scale(test, preparation.scale);
  finish(test, preparation, true);
  return test;
}

void to_target_units(const Standardization& s, RowBlock<double>& predictions) {
  if (predictions.cols() == 0) return;  // a test set without targets
  for (Index i = 0; i < predictions.local_rows(); ++i)
    for (std::size_t j = 0; j < s.target_mean.size(); ++j)
      predictions.row(i)[j] = predictions.row(i)[j] * s.target_deviation[j] + s.target_mean[j];
}

}  // namespace mercer::data
