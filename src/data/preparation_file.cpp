#include "mercer/data/preparation_file.hpp"

#include <numeric>
#include <span>
#include <utility>

namespace mercer::data {
namespace {

using Vector = std::vector<double> Standardization::*;
constexpr std::pair<const char*, Vector> kVectors[] = {
    {"/preparation/input_mean", &Standardization::input_mean},
    {"/preparation/input_deviation", &Standardization::input_deviation},
    {"/preparation/target_mean", &Standardization::target_mean},
    {"/preparation/target_deviation", &Standardization::target_deviation}};

/// Texts in one attribute, a line each; a backslash and a newline within one are "\\\\" and "\\n".
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

void write_texts(dist::Hdf5File& file, const char* name, const std::vector<std::string>& texts) {
  if (!texts.empty()) file.attribute("/", name, joined(texts));
}

std::vector<std::string> read_texts(const dist::Hdf5File& file, const char* name) {
  if (!file.has_attribute("/", name)) return {};
  return split_lines(file.text_attribute("/", name));
}

/// Files that were written before classes had names have their number alone: labels 0, 1, ...
Classes read_classes(const dist::Hdf5File& file) {
  Classes classes;
  classes.names = read_texts(file, "preparation_class_names");
  if (file.contains("/preparation/class_values"))
    classes.values = file.read_vector("/preparation/class_values");
  if (!classes.empty()) return classes;
  std::vector<double> labels(
      static_cast<std::size_t>(file.number_attribute("/", "preparation_classes")));
  std::iota(labels.begin(), labels.end(), 0.0);
  return classes_of(std::move(labels));
}

void write_csv(dist::Hdf5File& file, const CsvColumns& csv) {
  if (csv.columns == 0) return;
  file.attribute("/", "preparation_csv_header", csv.header);
  file.attribute("/", "preparation_csv_index", csv.index);
  file.attribute("/", "preparation_csv_columns", csv.columns);
  file.attribute("/", "preparation_csv_index_column", csv.index_column);
  file.attribute("/", "preparation_csv_first", static_cast<Index>(csv.first));
  const std::vector<double> targets(csv.targets.begin(), csv.targets.end());
  if (!targets.empty()) file.write("/preparation/csv_targets", std::span<const double>(targets));
}

CsvColumns read_csv(const dist::Hdf5File& file) {
  CsvColumns csv;
  if (!file.has_attribute("/", "preparation_csv_columns")) return csv;
  const auto whole = [&](const char* name) {
    return static_cast<Index>(file.number_attribute("/", name));
  };
  csv.header = file.text_attribute("/", "preparation_csv_header");
  csv.index = file.text_attribute("/", "preparation_csv_index");
  csv.columns = whole("preparation_csv_columns");
  csv.index_column = whole("preparation_csv_index_column");
  if (file.has_attribute("/", "preparation_csv_first"))
    csv.first = static_cast<CsvColumns::First>(whole("preparation_csv_first"));
  if (file.contains("/preparation/csv_targets"))
    for (double target : file.read_vector("/preparation/csv_targets"))
      csv.targets.push_back(static_cast<Index>(target));
  return csv;
}

}  // namespace

void write(dist::Hdf5File& file, const Preparation& p) {
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
  for (const auto& [name, vector] : kVectors)
    if (const auto& values = p.standardization.*vector; !values.empty())
      file.write(name, std::span<const double>(values));
}

Preparation read_preparation(const dist::Hdf5File& file) {
  const auto number = [&](const char* name) { return file.number_attribute("/", name); };
  const auto whole = [&](const char* name) { return static_cast<Index>(number(name)); };
  Preparation p;
  if (file.has_attribute("/", "preparation_train"))
    p.train = file.text_attribute("/", "preparation_train");
  p.scale = number("preparation_scale");
  p.unit_norm = whole("preparation_unit_norm") != 0;
  p.one_hot = whole("preparation_one_hot") != 0;
  p.dimension = whole("preparation_dimension");
  p.outputs = whole("preparation_outputs");
  p.classes = read_classes(file);
  p.input_names = read_texts(file, "preparation_input_names");
  p.target_names = read_texts(file, "preparation_target_names");
  p.csv = read_csv(file);
  if (file.has_attribute("/", "preparation_libsvm_base"))
    p.libsvm_base = whole("preparation_libsvm_base");
  p.csv_target = file.text_attribute("/", "preparation_csv_target");
  for (const auto& [name, vector] : kVectors)
    if (file.contains(name)) p.standardization.*vector = file.read_vector(name);
  return p;
}

}  // namespace mercer::data
