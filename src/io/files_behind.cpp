#include <hdf5.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "hdf5_state.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/io/places.hpp"

namespace mercer::io {
namespace {

namespace fs = std::filesystem;

/// The names of other files in one HDF5 file, in the file's own words.
struct Found {
  std::vector<std::string> beside;   ///< of links and virtual datasets: from the file's folder
  std::vector<std::string> working;  ///< of external storage: from the working directory
};

void look_into(hid_t dataset, Found& found) {
  const Handle layout(H5Dget_create_plist(dataset), H5Pclose);
  for (int i = 0; i < H5Pget_external_count(layout); ++i) {
    std::vector<char> name(4096, '\0');
    off_t offset = 0;
    hsize_t size = 0;
    if (H5Pget_external(layout, static_cast<unsigned>(i), name.size() - 1, name.data(), &offset,
                        &size) >= 0)
      found.working.emplace_back(name.data());
  }
  if (H5Pget_layout(layout) != H5D_VIRTUAL) return;
  std::size_t count = 0;
  H5Pget_virtual_count(layout, &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto length = H5Pget_virtual_filename(layout, i, nullptr, 0);
    if (length <= 0) continue;
    std::vector<char> name(static_cast<std::size_t>(length) + 1, '\0');
    H5Pget_virtual_filename(layout, i, name.data(), name.size());
    if (std::string_view(name.data()) != ".") found.beside.emplace_back(name.data());
  }
}

herr_t visit(hid_t group, const char* name, const H5L_info_t* link, void* data) {
  auto& found = *static_cast<Found*>(data);
  if (link->type == H5L_TYPE_HARD) {
    const Handle object(H5Oopen(group, name, H5P_DEFAULT), H5Oclose);
    if (object.ok() && H5Iget_type(object) == H5I_DATASET) look_into(object, found);
  } else if (link->type == H5L_TYPE_EXTERNAL && link->u.val_size > 0) {
    std::vector<char> value(link->u.val_size + 1, '\0');
    const char *file = nullptr, *object = nullptr;
    unsigned flags = 0;
    if (H5Lget_val(group, name, value.data(), link->u.val_size, H5P_DEFAULT) >= 0 &&
        H5Lunpack_elink_val(value.data(), link->u.val_size, &flags, &file, &object) >= 0)
      found.beside.emplace_back(file);
  }
  return 0;
}

/// Whether the file claims to be Mercer's own: these refer to no other, and HDF5 must not see one
/// before its checksum is verified.
bool is_signed(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(64, '\0');
  file.read(start.data(), std::ssize(start));
  start.resize(static_cast<std::size_t>(file.gcount()));
  return has_checksum(start);
}

void collect(const std::string& path, int rank, std::vector<std::string>& files) {
  if (is_signed(path)) return;
  Found found;
  {
    const Watchdog watchdog(path, rank, 10);
    if (H5Fis_hdf5(path.c_str()) <= 0) return;
    const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    if (!file.ok()) return;
    H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, &found);
  }
  constexpr std::size_t kMost = 10000;  // a virtual dataset may have thousands of sources
  const auto add = [&](const std::string& name) {
    std::error_code none;
    if (!fs::is_regular_file(name, none) || files.size() >= kMost ||
        std::ranges::find(files, name) != files.end())
      return;
    files.push_back(name);
    collect(name, rank, files);
  };
  for (const auto& name : found.working) add(name);
  for (const auto& name : found.beside) {
    add((fs::path(path).parent_path() / name).string());  // an absolute name stays as it is
    add(name);
  }
}

}  // namespace

std::vector<std::string> files_behind(const std::string& path, int rank) {
  const Quiet quiet;
  std::vector<std::string> files{path};
  collect(path, rank, files);
  files.erase(files.begin());
  return files;
}

}  // namespace mercer::io
