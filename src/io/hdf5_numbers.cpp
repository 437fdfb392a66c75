// Numbers of a file, checked before they are used.
#include <algorithm>
#include <cmath>

#include "hdf5_state.hpp"

namespace mercer::io {

std::vector<double> Hdf5File::read_finite(const std::string& dataset, Index length) const {
  const auto sizes = extents(dataset);
  Index found = 1;
  for (const Index size : sizes) found *= size;
  if (found != length)
    throw InputError("{}: the dataset '{}' holds {} numbers, {} are wanted", path(), dataset, found,
                     length);
  auto values = read_vector(dataset);
  require_finite<double>(*this, dataset, values);
  return values;
}

double Hdf5File::read_number(const std::string& dataset) const {
  return read_finite(dataset, 1)[0];
}

double Hdf5File::finite_attribute(const std::string& object, const std::string& name) const {
  const double value = number_attribute(object, name);
  if (!std::isfinite(value))
    throw InputError("{}: the attribute '{}' of {} is {}, not a finite number", path(), name,
                     object, value);
  return value;
}

Index Hdf5File::count_attribute(const std::string& object, const std::string& name, Index least,
                                Index most) const {
  return whole_number(*this, fmt::format("the attribute '{}' of {}", name, object),
                      number_attribute(object, name), least, most);
}

Index whole_number(const Hdf5File& file, const std::string& name, double value, Index least,
                   Index most) {
  const bool ok = value >= static_cast<double>(least) && value <= static_cast<double>(most) &&
                  value == std::floor(value);
  if (!ok)
    throw InputError("{}: {} is {}: a whole number in {} ... {} is wanted", file.path(), name,
                     value, least, most);
  return static_cast<Index>(value);
}

template <class T>
void require_finite(const Hdf5File& file, const std::string& name, std::span<const T> own) {
  comm::together(file.comm(), [&] {
    if (!std::ranges::all_of(own, [](T x) { return std::isfinite(x); }))
      throw InputError("{}: {} holds a NaN or an infinity", file.path(), name);
  });
}

template void require_finite<double>(const Hdf5File&, const std::string&, std::span<const double>);
template void require_finite<float>(const Hdf5File&, const std::string&, std::span<const float>);

}  // namespace mercer::io
