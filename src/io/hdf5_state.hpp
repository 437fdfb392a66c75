#pragma once

#include <hdf5.h>

#include <memory>
#include <string>
#include <utility>

#include "mercer/comm/together.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/io/temporary.hpp"
#include "watchdog.hpp"

namespace mercer::io {

/// Keeps HDF5 from printing its error stack: the user gets Mercer's one line.
class Quiet {
 public:
  Quiet() {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Quiet() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// An HDF5 identifier with its own way of being closed.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  operator hid_t() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// A file under way. A file that is read is opened by every rank on its own, so that one rank's
/// trouble cannot keep the others waiting; one that is written is open through MPI-IO.
struct Hdf5File::State {
  comm::Communicator comm;
  std::string path;
  std::string temporary;               ///< where it is written; empty: reading
  std::unique_ptr<TemporaryFile> own;  ///< the same on rank 0, whose it is
  hid_t file = -1;
  bool verified = false;  ///< reading: the file's checksum is there and right

  ~State();
  bool writing() const { return !temporary.empty(); }
  /// Throws RunError unless the file is open for writing.
  void require_writing() const;
  /// Throws InputError unless it is a dataset of numbers, and, in a verified file, all of them are
  /// there. Local.
  Handle open_numeric(const std::string& name) const;
  /// Rows [first, first + count) of a dataset as T, in slabs. Throws InputError. Local.
  template <class T>
  void read_slabs(const std::string& name, Index first, Index count, Index row_size,
                  T* values) const;
  /// For calls of HDF5 that read an unverified file, whose damage may keep them for ever; null for
  /// others. Local.
  std::unique_ptr<Watchdog> watchdog(double seconds = 10) const;
  /// Collective. Throws RunError, naming the path, when the disk cannot take `bytes` more: found
  /// out before HDF5 begins, because HDF5 does not recover from a collective write that fails in
  /// part.
  void reserve(Index bytes) const;
};

}  // namespace mercer::io
