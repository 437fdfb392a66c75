#include <vector>

#include "hdf5_state.hpp"

namespace mercer::io {
namespace {

/// Creates the attribute and writes `value` of memory type `type`, replacing one of that name.
/// Every rank passes the same value. Returns success.
bool write_attribute(hid_t file, const std::string& object, const std::string& name, hid_t type,
                     const void* value) {
  const Handle target(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
  if (!target.ok()) return false;
  if (H5Aexists(target, name.c_str()) > 0) H5Adelete(target, name.c_str());
  const Handle scalar(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(H5Acreate2(target, name.c_str(), type, scalar, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  return attribute.ok() && H5Awrite(attribute, type, value) >= 0;
}

void agree_written(const comm::Communicator& comm, bool ok, const std::string& path,
                   const std::string& name) {
  comm::together(comm, [&] {
    if (!ok) throw RunError("{}: cannot write the attribute '{}'", path, name);
  });
}

/// The type of strings that h5py shows as str.
Handle text_type() {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

/// An attribute, its type and its extent. Throws InputError where there is none.
struct Opened {
  Opened(hid_t file, const std::string& path, const std::string& object, const std::string& name)
      : attribute(H5Aopen_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                  H5Aclose),
        type(attribute.ok() ? H5Aget_type(attribute) : H5I_INVALID_HID, H5Tclose),
        space(attribute.ok() ? H5Aget_space(attribute) : H5I_INVALID_HID, H5Sclose) {
    if (!attribute.ok()) throw InputError("{}: {} has no attribute '{}'", path, object, name);
  }
  bool single() const { return H5Sget_simple_extent_npoints(space) == 1; }
  Handle attribute, type, space;
};

std::string read_text(hid_t attribute, hid_t type) {
  if (H5Tis_variable_str(type) > 0) {
    const Handle memory(H5Tcopy(type), H5Tclose);
    char* text = nullptr;
    if (H5Aread(attribute, memory, &text) < 0 || text == nullptr) return "";
    std::string result(text);
    H5free_memory(text);
    return result;
  }
  std::vector<char> text(H5Tget_size(type) + 1, '\0');
  if (H5Aread(attribute, type, text.data()) < 0) return "";
  return text.data();
}

}  // namespace

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  if (H5get_libversion(&major, &minor, &release) < 0) return "unknown";
  return fmt::format("{}.{}.{}", major, minor, release);
}

void Hdf5File::attribute(const std::string& object, const std::string& name,
                         const std::string& value) {
  const Quiet quiet;
  state_->require_writing();
  // Metadata must be alike on all ranks; times and host names are not.
  const std::string text = state_->comm.broadcast(value, 0);
  state_->reserve(static_cast<Index>(text.size()));
  const char* pointer = text.c_str();
  agree_written(state_->comm, write_attribute(state_->file, object, name, text_type(), &pointer),
                path(), name);
}

void Hdf5File::attribute(const std::string& object, const std::string& name, double value) {
  const Quiet quiet;
  state_->require_writing();
  state_->comm.broadcast(std::span<double>(&value, 1), 0);
  agree_written(state_->comm,
                write_attribute(state_->file, object, name, H5T_NATIVE_DOUBLE, &value), path(),
                name);
}

void Hdf5File::attribute(const std::string& object, const std::string& name, Index value) {
  const Quiet quiet;
  state_->require_writing();
  state_->comm.broadcast(std::span<Index>(&value, 1), 0);
  agree_written(state_->comm, write_attribute(state_->file, object, name, H5T_NATIVE_INT64, &value),
                path(), name);
}

bool Hdf5File::has_attribute(const std::string& object, const std::string& name) const {
  const Quiet quiet;
  int exists = 0;
  if (state_->comm.root()) {
    const auto guard = state_->watchdog();
    exists = H5Aexists_by_name(state_->file, object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
  }
  state_->comm.broadcast(std::span<int>(&exists, 1), 0);
  return exists != 0;
}

std::string Hdf5File::text_attribute(const std::string& object, const std::string& name) const {
  const Quiet quiet;
  const std::string text = comm::together(state_->comm, [&]() -> std::string {
    if (!state_->comm.root()) return {};
    const auto guard = state_->watchdog();
    const Opened attribute(state_->file, path(), object, name);
    if (H5Tget_class(attribute.type) != H5T_STRING || !attribute.single())
      throw InputError("{}: the attribute '{}' of {} is not a text", path(), name, object);
    return read_text(attribute.attribute, attribute.type);
  });
  return state_->comm.broadcast(text, 0);
}

double Hdf5File::number_attribute(const std::string& object, const std::string& name) const {
  const Quiet quiet;
  double value = comm::together(state_->comm, [&]() -> double {
    if (!state_->comm.root()) return 0;
    const auto guard = state_->watchdog();
    const Opened attribute(state_->file, path(), object, name);
    const H5T_class_t kind = H5Tget_class(attribute.type);
    double number = 0;
    if ((kind != H5T_FLOAT && kind != H5T_INTEGER) || !attribute.single() ||
        H5Aread(attribute.attribute, H5T_NATIVE_DOUBLE, &number) < 0)
      throw InputError("{}: the attribute '{}' of {} is not a number", path(), name, object);
    return number;
  });
  state_->comm.broadcast(std::span<double>(&value, 1), 0);
  return value;
}

}  // namespace mercer::io
