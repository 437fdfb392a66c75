#include "mercer/data/preparation_file.hpp"

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

}  // namespace

void write(dist::Hdf5File& file, const Preparation& p) {
  file.attribute("/", "preparation_scale", p.scale);
  file.attribute("/", "preparation_unit_norm", Index{p.unit_norm});
  file.attribute("/", "preparation_one_hot", Index{p.one_hot});
  file.attribute("/", "preparation_dimension", p.dimension);
  file.attribute("/", "preparation_outputs", p.outputs);
  file.attribute("/", "preparation_classes", p.classes);
  file.attribute("/", "preparation_csv_target", p.csv_target);
  for (const auto& [name, vector] : kVectors)
    if (const auto& values = p.standardization.*vector; !values.empty())
      file.write(name, std::span<const double>(values));
}

Preparation read_preparation(const dist::Hdf5File& file) {
  const auto number = [&](const char* name) { return file.number_attribute("/", name); };
  const auto whole = [&](const char* name) { return static_cast<Index>(number(name)); };
  Preparation p;
  p.scale = number("preparation_scale");
  p.unit_norm = whole("preparation_unit_norm") != 0;
  p.one_hot = whole("preparation_one_hot") != 0;
  p.dimension = whole("preparation_dimension");
  p.outputs = whole("preparation_outputs");
  p.classes = whole("preparation_classes");
  p.csv_target = file.text_attribute("/", "preparation_csv_target");
  for (const auto& [name, vector] : kVectors)
    if (file.contains(name)) p.standardization.*vector = file.read_vector(name);
  return p;
}

}  // namespace mercer::data
