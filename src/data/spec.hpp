#pragma once

#include <map>
#include <string>
#include <string_view>

#include "mercer/base/index.hpp"

namespace mercer::data {

/// A data SPEC taken apart.
struct Spec {
  enum class Format { npy, csv, libsvm, h5, idx, cifar, circle, sphere, gaussian };
  Format format = Format::npy;
  std::string text;     ///< as given
  std::string path;     ///< of the inputs
  std::string targets;  ///< path of the targets; h5: dataset; "" where not given
  std::string dataset;  ///< h5: of the inputs
  std::map<std::string, std::string>
      values;  ///< synthetic and libsvm: key -> value, checked for misspelt keys

  bool synthetic() const { return format >= Format::circle; }
  /// A whole number >= `least` / a finite number; `fallback` where the key is left out (there is no
  /// fallback where it is below `least`: then the key is required).
  Index whole(const std::string& key, Index least, Index fallback) const;
  double number(const std::string& key, double fallback) const;
};

/// Throws InputError that names the text: unknown prefix, no file, unknown or repeated keys.
Spec parse_spec(const std::string& text);

/// "MASK.csv:test" -> {"MASK.csv", "test"}; the column is "" where it is left out.
struct MaskSpec {
  std::string path;
  std::string column;
  bool npy = false;  ///< else CSV
};
MaskSpec parse_mask_spec(const std::string& text);

}  // namespace mercer::data
