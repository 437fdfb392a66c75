#include "mercer/data/preparation_file.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>
#include <utility>

namespace mercer::data {
namespace {

/// Datasets of a mean, which is subtracted, and of a deviation, by which is divided.
struct Moments {
  std::string name;
  std::vector<double> Standardization::*mean;
  std::vector<double> Standardization::*deviation;
};
const Moments kMoments[] = {
    {"/preparation/input", &Standardization::input_mean, &Standardization::input_deviation},
    {"/preparation/target", &Standardization::target_mean, &Standardization::target_deviation}};

/// Texts as one attribute, a line each, with "\\\\" for a backslash and "\\n" for a newline within.
std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts) {
    for (char c : text) all += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : std::string(1, c);
    all += '\n';
  }
  return all;
}

std::vector<std::string> split_lines(const std::string& all) {
  std::vector<std::string> texts;
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] == '\n') {
      texts.push_back(std::move(text));
      text.clear();
    } else if (all[i] == '\\' && i + 1 < all.size()) {
      text += all[++i] == 'n' ? '\n' : all[i];
    } else {
      text += all[i];
    }
  }
  return texts;
}

void write_texts(io::Hdf5File& file, const char* name, const std::vector<std::string>& texts) {
  if (!texts.empty()) file.attribute("/", name, joined(texts));
}

std::vector<std::string> read_texts(const io::Hdf5File& file, const char* name) {
  if (!file.has_attribute("/", name)) return {};
  return split_lines(file.text_attribute("/", name));
}

/// Whether the values are ascending and distinct.
template <class T>
bool ascending(const std::vector<T>& values) {
  return std::ranges::adjacent_find(values, std::greater_equal<>()) == values.end();
}

/// The classes. Files from before classes had names hold only their number: the labels are then 0,
/// 1, ...
Classes read_classes(const io::Hdf5File& file, const Preparation& p) {
  Classes classes;
  const Index count = file.count_attribute("/", "preparation_classes", 0, io::kMostCount);
  classes.names = read_texts(file, "preparation_class_names");
  if (file.contains("/preparation/class_values"))
    classes.values = file.read_finite("/preparation/class_values", count);
  if (p.one_hot && count != p.outputs)
    throw InputError("{}: holds {} classes, but {} outputs: one-hot has one for each", file.path(),
                     count, p.outputs);
  if (classes.empty() && p.one_hot && !classes.numeric()) {
    std::vector<double> labels(static_cast<std::size_t>(count));
    std::iota(labels.begin(), labels.end(), 0.0);
    return classes_of(std::move(labels));
  }
  if (classes.size() != count)
    throw InputError("{}: holds {} classes and the names of {}", file.path(), count,
                     classes.size());
  if (!ascending(classes.values) || (!classes.numeric() && !ascending(classes.names)))
    throw InputError("{}: its classes are not in ascending order", file.path());
  return classes;
}

void write_csv(io::Hdf5File& file, const CsvColumns& csv) {
  if (csv.columns == 0) return;
  file.attribute("/", "preparation_csv_header", csv.header);
  file.attribute("/", "preparation_csv_index", csv.index);
  file.attribute("/", "preparation_csv_columns", csv.columns);
  file.attribute("/", "preparation_csv_index_column", csv.index_column);
  file.attribute("/", "preparation_csv_first", static_cast<Index>(csv.first));
  const std::vector<double> targets(csv.targets.begin(), csv.targets.end());
  if (!targets.empty()) file.write("/preparation/csv_targets", std::span<const double>(targets));
}

CsvColumns read_csv(const io::Hdf5File& file) {
  CsvColumns csv;
  if (!file.has_attribute("/", "preparation_csv_columns")) return csv;
  csv.header = file.text_attribute("/", "preparation_csv_header");
  csv.index = file.text_attribute("/", "preparation_csv_index");
  csv.columns = file.count_attribute("/", "preparation_csv_columns", 1, io::kMostCount);
  csv.index_column = file.count_attribute("/", "preparation_csv_index_column", -1, csv.columns - 1);
  if (file.has_attribute("/", "preparation_csv_first"))
    csv.first = static_cast<CsvColumns::First>(file.count_attribute(
        "/", "preparation_csv_first", 0, static_cast<Index>(CsvColumns::First::counted)));
  const std::string targets = "/preparation/csv_targets";
  if (file.contains(targets))
    for (double target : file.read_vector(targets))
      csv.targets.push_back(io::whole_number(file, targets, target, 0, csv.columns - 1));
  return csv;
}

/// Reads mean and deviation of `columns` columns; a file has both or neither.
void read_moments(const io::Hdf5File& file, const Moments& moments, Index columns,
                  Standardization& s) {
  const std::string mean = moments.name + "_mean", deviation = moments.name + "_deviation";
  if (file.contains(mean) != file.contains(deviation))
    throw InputError("{}: holds one of {} and {}: both are needed, or neither", file.path(), mean,
                     deviation);
  if (!file.contains(mean)) return;
  s.*moments.mean = file.read_finite(mean, columns);
  s.*moments.deviation = file.read_finite(deviation, columns);
  if (!std::ranges::all_of(s.*moments.deviation, [](double x) { return x > 0; }))
    throw InputError("{}: {} holds a number that is not positive: a deviation is", file.path(),
                     deviation);
}

/// Names: one for each column, or none.
std::vector<std::string> read_names(const io::Hdf5File& file, const char* name, Index columns) {
  auto names = read_texts(file, name);
  if (!names.empty() && static_cast<Index>(names.size()) != columns)
    throw InputError("{}: the attribute '{}' holds {} names for {} columns", file.path(), name,
                     names.size(), columns);
  return names;
}

}  // namespace

void write(io::Hdf5File& file, const Preparation& p) {
  file.attribute("/", "preparation_train", p.train);
  file.attribute("/", "preparation_scale", p.scale);
  file.attribute("/", "preparation_unit_norm", Index{p.unit_norm});
  file.attribute("/", "preparation_one_hot", Index{p.one_hot});
  file.attribute("/", "preparation_dimension", p.dimension);
  file.attribute("/", "preparation_outputs", p.outputs);
  file.attribute("/", "preparation_classes", p.classes.size());
  write_texts(file, "preparation_class_names", p.classes.names);
  if (p.classes.numeric())
    file.write("/preparation/class_values", std::span<const double>(p.classes.values));
  write_texts(file, "preparation_input_names", p.input_names);
  write_texts(file, "preparation_target_names", p.target_names);
  write_csv(file, p.csv);
  file.attribute("/", "preparation_libsvm_base", p.libsvm_base);
  file.attribute("/", "preparation_csv_target", p.csv_target);
  for (const auto& moments : kMoments)
    for (const auto& [name, vector] : {std::pair(moments.name + "_mean", moments.mean),
                                       {moments.name + "_deviation", moments.deviation}})
      if (const auto& values = p.standardization.*vector; !values.empty())
        file.write(name, std::span<const double>(values));
}

Preparation read_preparation(const io::Hdf5File& file) {
  const auto count = [&](const char* name, Index least, Index most) {
    return file.count_attribute("/", name, least, most);
  };
  Preparation p;
  if (file.has_attribute("/", "preparation_train"))
    p.train = file.text_attribute("/", "preparation_train");
  p.scale = file.finite_attribute("/", "preparation_scale");
  p.unit_norm = count("preparation_unit_norm", 0, 1) != 0;
  p.one_hot = count("preparation_one_hot", 0, 1) != 0;
  p.dimension = count("preparation_dimension", 0, io::kMostCount);
  p.outputs = count("preparation_outputs", 0, io::kMostCount);
  p.classes = read_classes(file, p);
  p.input_names = read_names(file, "preparation_input_names", p.dimension);
  p.target_names = read_names(file, "preparation_target_names", p.one_hot ? 1 : p.outputs);
  p.csv = read_csv(file);
  if (file.has_attribute("/", "preparation_libsvm_base"))
    p.libsvm_base = count("preparation_libsvm_base", -1, 1);
  p.csv_target = file.text_attribute("/", "preparation_csv_target");
  read_moments(file, kMoments[0], p.dimension, p.standardization);
  if (p.one_hot && file.contains("/preparation/target_mean"))
    throw InputError("{}: holds classes and /preparation/target_mean: one-hot has no mean",
                     file.path());
  read_moments(file, kMoments[1], p.outputs, p.standardization);
  return p;
}

std::optional<Preparation> find_preparation(const io::Hdf5File& file) {
  bool any = file.contains("/preparation");
  for (const char* name : {"scale", "unit_norm", "one_hot", "dimension", "outputs", "classes"})
    any = file.has_attribute("/", std::string("preparation_") + name) || any;
  if (!any) return std::nullopt;
  return read_preparation(file);
}

}  // namespace mercer::data
