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

/// Keeps HDF5 from printing its error stack: the user gets Mercer's one line instead.
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

/// Owns an HDF5 identifier and closes it with `close`.
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

/// An open file. One that is read is opened by every rank on its own, so that an error on one rank
/// cannot leave the others waiting; one that is written is open through MPI-IO.
struct Hdf5File::State {
  comm::Communicator comm;
  std::string path;
  std::string temporary;               ///< the name it is written under; empty: reading
  std::unique_ptr<TemporaryFile> own;  ///< of that name, on rank 0, which owns it
  hid_t file = -1;
  bool verified = false;  ///< reading: the file has a right checksum

  ~State();
  bool writing() const { return !temporary.empty(); }
  /// Throws RunError unless the file is open for writing.
  void require_writing() const;
  /// Opens a dataset of numbers. Throws InputError where `name` is none, or where a verified file
  /// does not itself hold all of them. Local.
  Handle open_numeric(const std::string& name) const;
  /// Reads rows [first, first + count) of a dataset as T, in slabs. Throws InputError. Local.
  template <class T>
  void read_slabs(const std::string& name, Index first, Index count, Index row_size,
                  T* values) const;
  /// A watchdog for calls of HDF5 on an unverified file, which damage may make endless; null for
  /// other files. `seconds`: of processor time. Local.
  std::unique_ptr<Watchdog> watchdog(double seconds = 10) const;
  /// Throws RunError, naming the path, where the disk cannot take `bytes` more. Called before HDF5
  /// writes, because it does not recover from a collective write that fails on some ranks.
  /// Collective.
  void reserve(Index bytes) const;
};

}  // namespace mercer::io
