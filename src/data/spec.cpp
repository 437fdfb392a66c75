#include "spec.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "text.hpp"

namespace mercer::data {
namespace {

using Format = Spec::Format;

constexpr std::array<std::pair<std::string_view, Format>, 9> kPrefixes{
    {{"npy", Format::npy},
     {"csv", Format::csv},
     {"libsvm", Format::libsvm},
     {"h5", Format::h5},
     {"idx", Format::idx},
     {"cifar", Format::cifar},
     {"circle", Format::circle},
     {"sphere", Format::sphere},
     {"gaussian", Format::gaussian}}};
constexpr const char* kKnown = "npy, csv, libsvm, h5, idx, cifar, circle, sphere, gaussian";

std::vector<std::string> split_at(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

/// Throws where a file's ending is that of a format which no reader takes.
void expect_readable_name(const std::string& text, const std::string& name) {
  constexpr std::pair<const char*, const char*> known[] = {
      {".xz", "is xz-compressed: unpack it first (xz -d)"},
      {".bz2", "is bzip2-compressed: unpack it first (bzip2 -d)"},
      {".zst", "is zstd-compressed: unpack it first (zstd -d)"},
      {".npz",
       "is a zip archive of arrays: save each array by itself (numpy.save) and write "
       "npy:X.npy,y.npy"},
      {".zip", "is a zip archive: unpack it first (unzip)"},
      {".7z", "is a 7z archive: unpack it first (7z x)"},
      {".xlsx", "is a spreadsheet: write it as CSV first"},
      {".parquet", "is a Parquet file: write it as CSV, NPY or HDF5 first"},
      {".pkl", "is a pickle: save its arrays with numpy.save"},
      {".mat", "is a MATLAB file: write it as HDF5 or NPY first"}};
  for (const auto& [ending, what] : known)
    if (name.ends_with(ending)) throw InputError("data '{}': {}", text, what);
}

/// The format by the ending of a file's name, as of X.npy,y.npy or data.csv.gz. Throws InputError.
Format format_of_name(const std::string& text) {
  std::string name = text.substr(0, text.find(','));
  if (name.find(":/") != std::string::npos) name = name.substr(0, name.rfind(":/"));
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const auto ends = [&](auto... endings) { return (name.ends_with(endings) || ...); };
  if (ends(".npy")) return Format::npy;
  if (ends(".csv", ".tsv")) return Format::csv;
  if (ends(".libsvm", ".svm")) return Format::libsvm;
  if (ends(".h5", ".hdf5")) return Format::h5;
  if (ends("-ubyte", ".idx")) return Format::idx;
  if (ends(".bin")) return Format::cifar;
  expect_readable_name(text, name);
  throw InputError("data '{}': the name does not tell the format; write FORMAT:{}, with one of {}",
                   text, text, kKnown);
}

/// Whether `word` could be meant as a prefix rather than as part of a file's name.
bool looks_like_prefix(std::string_view word) {
  for (char c : word)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-') return false;
  return !word.empty();
}

/// FILE[,d=D][,base=B]: d= and base= count only at the end, so that a file's name may have commas.
void parse_libsvm(Spec& spec, const std::string& rest) {
  spec.path = rest;
  for (;;) {
    const auto comma = spec.path.rfind(',');
    if (comma == std::string::npos) break;
    const std::string part = spec.path.substr(comma + 1);
    const auto equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (equals == std::string::npos || (key != "d" && key != "base")) break;
    if (!spec.values.emplace(key, part.substr(equals + 1)).second)
      throw InputError("data '{}': {} is given twice", spec.text, key);
    spec.path.resize(comma);
  }
  if (spec.whole("base", 0, 0) > 1)
    throw InputError("data '{}': base = {} must be 0 or 1", spec.text, spec.whole("base", 0, 0));
  spec.whole("d", 1, 1);
}

void parse_files(Spec& spec, const std::string& rest) {
  const bool pairs = spec.format == Format::npy || spec.format == Format::idx;
  if (spec.format == Format::h5) {
    const auto colon = rest.rfind(":/");
    if (colon == std::string::npos)
      throw InputError("data '{}': which dataset? Write h5:FILE:/x or h5:FILE:/x,/y", spec.text);
    spec.path = rest.substr(0, colon);
    const auto names = split_at(rest.substr(colon + 1), ',');
    spec.dataset = names[0];
    if (names.size() > 1) spec.targets = names[1];
    if (names.size() > 2 || spec.dataset.size() < 2 || (names.size() > 1 && spec.targets.empty()))
      throw InputError("data '{}': one dataset or two are needed, h5:FILE:/x or h5:FILE:/x,/y",
                       spec.text);
  } else if (pairs) {
    const auto names = split_at(rest, ',');
    spec.path = names[0];
    if (names.size() > 1) spec.targets = names[1];
    if (names.size() > 2 || (names.size() > 1 && spec.targets.empty()))
      throw InputError("data '{}': one file or two, separated by a comma, are needed", spec.text);
  } else if (spec.format == Format::libsvm) {
    parse_libsvm(spec, rest);
  } else {
    spec.path = rest;
  }
  if (spec.path.empty()) throw InputError("data '{}': a file name is missing", spec.text);
}

void parse_keys(Spec& spec, const std::string& rest) {
  const std::set<std::string> known =
      spec.format == Format::circle   ? std::set<std::string>{"n", "freq", "grid", "amplitude"}
      : spec.format == Format::sphere ? std::set<std::string>{"n", "d", "degree"}
                                      : std::set<std::string>{"n", "d"};
  std::string names;
  for (const auto& key : known) names += (names.empty() ? "" : ", ") + key;
  for (const auto& part : split_at(rest, ',')) {
    const auto equals = part.find('=');
    const std::string key = part.substr(0, equals);
    const bool flag = key == "grid";
    if (!known.contains(key))
      throw InputError("data '{}': '{}' is not one of its keys: {}", spec.text, key, names);
    if (flag != (equals == std::string::npos))
      throw InputError("data '{}': {}", spec.text,
                       flag ? "grid takes no value" : "write " + key + "=VALUE");
    if (!spec.values.emplace(key, flag ? "1" : part.substr(equals + 1)).second)
      throw InputError("data '{}': {} is given twice", spec.text, key);
  }
}

}  // namespace

Index Spec::whole(const std::string& key, Index least, Index fallback) const {
  const auto found = values.find(key);
  if (found == values.end()) {
    if (fallback < least) throw InputError("data '{}': {}= is missing", text, key);
    return fallback;
  }
  const auto value = parse_whole(found->second);
  if (!value || *value < least)
    throw InputError("data '{}': {} = '{}' must be a whole number of at least {}", text, key,
                     found->second, least);
  return *value;
}

double Spec::number(const std::string& key, double fallback) const {
  const auto found = values.find(key);
  if (found == values.end()) return fallback;
  const auto value = parse_number(found->second);
  if (!value || !std::isfinite(*value))
    throw InputError("data '{}': {} = '{}' must be a number", text, key, found->second);
  return *value;
}

Spec parse_spec(const std::string& text) {
  Spec spec;
  spec.text = text;
  if (text.empty()) throw InputError("data: the specification is empty; write FORMAT:FILE");
  const auto colon = text.find(':');
  const std::string prefix = colon == std::string::npos ? text : text.substr(0, colon);
  for (const auto& [name, format] : kPrefixes) {
    if (prefix != name) continue;
    spec.format = format;
    const std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
    if (rest.empty() && spec.synthetic()) throw InputError("data '{}': n= is missing", text);
    spec.synthetic() ? parse_keys(spec, rest) : parse_files(spec, rest);
    return spec;
  }
  if (colon != std::string::npos && looks_like_prefix(prefix))
    throw InputError("data '{}': the format '{}' is not one of {}", text, prefix, kKnown);
  spec.format = format_of_name(text);
  parse_files(spec, text);
  return spec;
}

MaskSpec parse_mask_spec(const std::string& text) {
  MaskSpec mask;
  mask.npy = text.starts_with("npy:");
  mask.path = mask.npy || text.starts_with("csv:") ? text.substr(4) : text;
  const auto colon = mask.path.rfind(':');
  const bool column = colon != std::string::npos && mask.path.find('/', colon) == std::string::npos;
  if (column) {
    mask.column = trimmed(std::string_view(mask.path).substr(colon + 1));
    mask.path.resize(colon);
  }
  if (mask.path.empty() || (column && mask.column.empty()))
    throw InputError(
        "`split` {}: write MASK.csv or MASK.csv:COLUMN, where COLUMN is a name in the mask's "
        "header or a position from 0 (from the end where negative)",
        text);
  mask.npy = mask.npy || mask.path.ends_with(".npy") || mask.path.ends_with(".npy.gz");
  return mask;
}

}  // namespace mercer::data
