#pragma once

#include <hdf5.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "mercer/base/matrix.hpp"

namespace mercer::test {

/// Where the reference kernels lie; empty where there are none (the test is then skipped).
inline std::string golden_dir() {
  const char* dir = std::getenv("MERCER_GOLDEN_DIR");
  return dir ? dir : "";
}

/// A file of reference kernels, read by one process with plain HDF5 calls. One group per case.
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& family)
      : family_(family),
        file_(H5Fopen((golden_dir() + "/" + family + ".h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)) {
    if (file_ < 0) throw std::runtime_error("cannot open " + golden_dir() + "/" + family + ".h5");
  }
  ~GoldenFile() { H5Fclose(file_); }
  GoldenFile(const GoldenFile&) = delete;
  GoldenFile& operator=(const GoldenFile&) = delete;

  const std::string& family() const { return family_; }
  std::vector<std::string> cases() const {
    H5G_info_t info;
    H5Gget_info(file_, &info);
    std::vector<std::string> names;
    for (hsize_t k = 0; k < info.nlinks; ++k) {
      char name[256];
      H5Lget_name_by_idx(file_, ".", H5_INDEX_NAME, H5_ITER_INC, k, name, sizeof name, H5P_DEFAULT);
      names.emplace_back(name);
    }
    return names;
  }
  bool contains(const std::string& path) const {
    return H5Lexists(file_, path.c_str(), H5P_DEFAULT) > 0;
  }
  /// A row-major rows x cols dataset as its cols x rows column-major transpose: column j is row j.
  Matrix<double> transposed(const std::string& path) const {
    const hid_t set = H5Dopen2(file_, path.c_str(), H5P_DEFAULT);
    if (set < 0) throw std::runtime_error("no dataset " + path);
    const hid_t space = H5Dget_space(set);
    hsize_t extent[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    H5Sget_simple_extent_dims(space, extent, nullptr);
    Index columns = 1;  // images: H, W, C
    for (int k = 1; k < 8; ++k) columns *= static_cast<Index>(extent[k]);
    Matrix<double> values(columns, static_cast<Index>(extent[0]));
    const herr_t status =
        H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Sclose(space);
    H5Dclose(set);
    if (status < 0) throw std::runtime_error("cannot read " + path);
    return values;
  }
  std::vector<Index> shape(const std::string& path) const {
    const hid_t set = H5Dopen2(file_, path.c_str(), H5P_DEFAULT), space = H5Dget_space(set);
    hsize_t extent[8] = {};
    const int rank = H5Sget_simple_extent_dims(space, extent, nullptr);
    H5Sclose(space);
    H5Dclose(set);
    return {extent, extent + rank};
  }
  std::vector<double> numbers(const std::string& group, const std::string& name) const {
    return attribute<double>(group, name, H5T_NATIVE_DOUBLE);
  }
  double number(const std::string& group, const std::string& name) const {
    return numbers(group, name).at(0);
  }
  std::string text(const std::string& group, const std::string& name) const {
    const hid_t object = H5Oopen(file_, group.c_str(), H5P_DEFAULT);
    const hid_t attribute = H5Aopen(object, name.c_str(), H5P_DEFAULT);
    const hid_t type = H5Aget_type(attribute);
    std::string value(H5Tget_size(type), '\0');
    H5Aread(attribute, type, value.data());
    H5Tclose(type);
    H5Aclose(attribute);
    H5Oclose(object);
    return value.substr(0, value.find('\0'));
  }

 private:
  std::string family_;
  template <class T>
  std::vector<T> attribute(const std::string& group, const std::string& name, hid_t type) const {
    const hid_t object = H5Oopen(file_, group.c_str(), H5P_DEFAULT);
    const hid_t attribute = H5Aopen(object, name.c_str(), H5P_DEFAULT);
    if (attribute < 0) throw std::runtime_error("no attribute " + group + "@" + name);
    const hid_t space = H5Aget_space(attribute);
    std::vector<T> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
    H5Aread(attribute, type, values.data());
    H5Sclose(space);
    H5Aclose(attribute);
    H5Oclose(object);
    return values;
  }
  hid_t file_;
};

}  // namespace mercer::test
