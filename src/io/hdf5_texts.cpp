// Datasets of texts: fixed or variable length, as h5py and pandas write them.
#include <algorithm>
#include <cstring>

#include "hdf5_state.hpp"

namespace mercer::io {
namespace {

constexpr std::size_t kMostTexts = std::size_t{1} << 59;  // their bytes

/// Seconds of processor time in which `count` texts are read, 1e5 of them a second.
double patience(std::size_t count) {
  return std::min(10 + 1e-5 * static_cast<double>(count), 600.0);
}

Handle open_dataset(hid_t file, const std::string& dataset) {
  return {H5Dopen2(file, dataset.c_str(), H5P_DEFAULT), H5Dclose};
}

std::vector<std::string> read_fixed(hid_t data, hid_t type, std::size_t count, bool& ok) {
  const std::size_t size = H5Tget_size(type);
  std::vector<char> bytes(size * count);
  ok = H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) >= 0;
  std::vector<std::string> texts;
  for (std::size_t i = 0; ok && i < count; ++i) {
    const char* start = bytes.data() + i * size;
    texts.emplace_back(start, strnlen(start, size));
  }
  return texts;
}

std::vector<std::string> read_variable(hid_t data, hid_t type, hid_t space, std::size_t count,
                                       bool& ok) {
  std::vector<char*> pointers(count, nullptr);
  ok = H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) >= 0;
  std::vector<std::string> texts;
  for (std::size_t i = 0; ok && i < count; ++i)
    texts.emplace_back(pointers[i] == nullptr ? "" : pointers[i]);
  if (ok) H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
  return texts;
}

}  // namespace

bool Hdf5File::holds_texts(const std::string& dataset) const {
  const Quiet quiet;
  int texts = 0;
  if (state_->comm.root()) {
    const auto guard = state_->watchdog();
    const Handle data = open_dataset(state_->file, dataset);
    if (data.ok()) texts = H5Tget_class(Handle(H5Dget_type(data), H5Tclose)) == H5T_STRING;
  }
  state_->comm.broadcast(std::span<int>(&texts, 1), 0);
  return texts != 0;
}

std::vector<std::string> Hdf5File::read_texts(const std::string& dataset, Index wanted) const {
  const Quiet quiet;
  return comm::together(state_->comm, [&]() -> std::vector<std::string> {
    if (!state_->comm.root()) return {};
    auto guard = state_->watchdog();
    const Handle data = open_dataset(state_->file, dataset);
    if (!data.ok()) throw InputError("{}: has no dataset '{}'", path(), dataset);
    const Handle stored(H5Dget_type(data), H5Tclose), space(H5Dget_space(data), H5Sclose);
    if (H5Tget_class(stored) != H5T_STRING)
      throw InputError("{}: the dataset '{}' does not hold texts", path(), dataset);
    const auto count = static_cast<std::size_t>(H5Sget_simple_extent_npoints(space));
    if (wanted >= 0 && count != static_cast<std::size_t>(wanted))
      throw InputError("{}: the dataset '{}' holds {} texts, {} are wanted", path(), dataset, count,
                       wanted);
    if (count > kMostTexts / std::max<std::size_t>(1, H5Tget_size(stored)))
      throw InputError("{}: the dataset '{}' claims {} texts, more than a file can hold", path(),
                       dataset, count);
    guard.reset();
    guard = state_->watchdog(patience(count));
    const Handle type(H5Tcopy(stored), H5Tclose);
    bool ok = false;
    auto texts = H5Tis_variable_str(stored) > 0 ? read_variable(data, type, space, count, ok)
                                                : read_fixed(data, type, count, ok);
    if (!ok) throw InputError("{}: cannot read the texts of '{}'", path(), dataset);
    return texts;
  });
}

}  // namespace mercer::io
