#pragma once

#include <map>
#include <string>
#include <string_view>

#include "mercer/base/index.hpp"

namespace mercer::data {

/// A parsed data SPEC.
struct Spec {
  enum class Format { npy, csv, libsvm, h5, idx, cifar, circle, sphere, gaussian };
  Format format = Format::npy;
  std::string text;     ///< as given
  std::string path;     ///< of the inputs
  std::string targets;  ///< path of the targets; h5: their dataset; "" where not given
  std::string dataset;  ///< h5: that of the inputs
  std::map<std::string, std::string>
      values;  ///< synthetic and libsvm: key -> value; only known keys

  bool synthetic() const { return format >= Format::circle; }
  /// The value of a key, a whole number >= `least` or a finite number; `fallback` where the key is
  /// left out. A `fallback` below `least` makes the key required. Throws InputError.
  Index whole(const std::string& key, Index least, Index fallback) const;
  double number(const std::string& key, double fallback) const;
};

/// Parses a SPEC. Opens nothing. Throws InputError that quotes the text: unknown prefix, no file
/// name, unknown or repeated keys. Local.
Spec parse_spec(const std::string& text);

/// "MASK.csv:test" -> {"MASK.csv", "test"}; the column is "" where it is left out.
struct MaskSpec {
  std::string path;
  std::string column;
  bool npy = false;  ///< else CSV
};
MaskSpec parse_mask_spec(const std::string& text);

}  // namespace mercer::data
