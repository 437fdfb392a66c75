#include "mercer/dist/identity.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"

namespace mercer::dist {

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

void check_identity(const Hdf5File& file, const Identity& identity) {
  for (const auto& [name, value] : identity)
    require_same(file.path(), name,
                 file.has_attribute("/", name) ? file.text_attribute("/", name) : "absent", value);
  const std::string names = file.text_attribute("/", "checkpoint_identity");
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = names.find('\n', begin);
    const std::string name = names.substr(begin, end - begin);
    if (std::ranges::none_of(identity, [&](const auto& pair) { return pair.first == name; }))
      require_same(file.path(), name, file.text_attribute("/", name), "absent");
    begin = end == std::string::npos ? names.size() : end + 1;
  }
}

}  // namespace mercer::dist
