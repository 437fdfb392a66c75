#include "mercer/dist/identity.hpp"

#include <algorithm>
#include <string_view>

#include "mercer/base/error.hpp"

namespace mercer::dist {
namespace {

bool has(const Identity& list, const std::string& name) {
  return std::ranges::any_of(list, [&](const auto& pair) { return pair.first == name; });
}

}  // namespace

void write_identity(Hdf5File& file, const Identity& identity) {
  std::string names;
  for (const auto& [name, value] : identity) {
    file.attribute("/", name, value);
    names += name + '\n';
  }
  file.attribute("/", "checkpoint_identity", names);
}

void require_same(const std::string& path, const std::string& name, const std::string& there,
                  const std::string& here) {
  if (there != here)
    throw InputError("--resume: {} is of another problem: {} is {} there and {} here", path, name,
                     there, here);
}

void check_identity(const Hdf5File& file, const Identity& identity, const Identity& settings) {
  for (const auto& [name, value] : identity)
    require_same(file.path(), name,
                 file.has_attribute("/", name) ? file.text_attribute("/", name) : "absent", value);
  const std::string names = file.text_attribute("/", "checkpoint_identity");
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = names.find('\n', begin);
    const std::string name = names.substr(begin, end - begin);
    if (!has(identity, name) && !has(settings, name))
      require_same(file.path(), name, file.text_attribute("/", name), "absent");
    begin = end == std::string::npos ? names.size() : end + 1;
  }
}

void write_settings(Hdf5File& file, const Identity& settings) {
  for (const auto& [name, value] : settings) file.attribute("/", name, value);
}

std::string differences(const Hdf5File& file, const Identity& settings) {
  static constexpr std::string_view kOfRounding[] = {"ranks", "--grid", "--nb", "--storage"};
  bool rounding = false;
  std::string before, now;
  for (const auto& [name, value] : settings) {
    if (!file.has_attribute("/", name)) continue;
    const std::string there = file.text_attribute("/", name);
    if (there == value) continue;
    rounding = rounding || std::ranges::count(kOfRounding, name) > 0;
    before += fmt::format("{}{} {}", before.empty() ? "" : ", ", name, there);
    now += fmt::format("{}{} {}", now.empty() ? "" : ", ", name, value);
  }
  if (before.empty()) return "";
  return fmt::format("was written with {}; goes on with {}{}", before, now,
                     rounding ? ": other last bits" : "");
}

}  // namespace mercer::dist
