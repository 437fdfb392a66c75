#include "mercer/io/identity.hpp"

#include <algorithm>
#include <string_view>

#include "mercer/base/error.hpp"

namespace mercer::io {
namespace {

bool has(const Identity& list, const std::string& name) {
  return std::ranges::any_of(list, [&](const auto& pair) { return pair.first == name; });
}

/// The name of the attribute: without the backticks that mark a field.
std::string attribute_of(std::string name) {
  std::erase(name, '`');
  return name;
}

std::string value_in(const Hdf5File& file, const std::string& name) {
  const auto attribute = attribute_of(name);
  return file.has_attribute("/", attribute) ? file.text_attribute("/", attribute) : "absent";
}

}  // namespace

void write_identity(Hdf5File& file, const Identity& identity) {
  std::string names;
  for (const auto& [name, value] : identity) {
    file.attribute("/", attribute_of(name), value);
    names += name + '\n';
  }
  file.attribute("/", "checkpoint_identity", names);
}

void require_same(const std::string& path, const std::string& name, const std::string& there,
                  const std::string& here) {
  if (there != here)
    throw InputError("`resume`: {} is of another problem: {} is {} there and {} here", path, name,
                     there, here);
}

void check_identity(const Hdf5File& file, const Identity& identity, const Identity& settings) {
  for (const auto& [name, value] : identity) {
    if (!file.has_attribute("/", attribute_of(name)))
      throw InputError(
          "`resume`: {} is of another problem, or was written by another version of Mercer: it has "
          "no {}, which is {} here",
          file.path(), name, value);
    require_same(file.path(), name, value_in(file, name), value);
  }
  const std::string names = file.text_attribute("/", "checkpoint_identity");
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = names.find('\n', begin);
    const std::string name = names.substr(begin, end - begin);
    if (!has(identity, name) && !has(settings, name))
      require_same(file.path(), name, value_in(file, name), "absent");
    begin = end == std::string::npos ? names.size() : end + 1;
  }
}

void write_settings(Hdf5File& file, const Identity& settings) {
  for (const auto& [name, value] : settings) file.attribute("/", attribute_of(name), value);
}

std::string differences(const Hdf5File& file, const Identity& settings,
                        std::span<const std::string> of_rounding) {
  bool rounding = false;
  std::string before, now;
  for (const auto& [name, value] : settings) {
    if (!file.has_attribute("/", attribute_of(name))) continue;
    const std::string there = value_in(file, name);
    if (there == value) continue;
    rounding = rounding || std::ranges::count(of_rounding, name) > 0;
    before += fmt::format("{}{} {}", before.empty() ? "" : ", ", name, there);
    now += fmt::format("{}{} {}", now.empty() ? "" : ", ", name, value);
  }
  if (before.empty()) return "";
  return fmt::format("was written with {}; goes on with {}{}", before, now,
                     rounding ? ": the last bits may differ" : "");
}

}  // namespace mercer::io
