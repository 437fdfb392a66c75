#include "mercer/io/hdf5.hpp"

#include <sys/stat.h>

#include <filesystem>

#include "claim.hpp"
#include "hdf5_state.hpp"
#include "mercer/base/file.hpp"
#include "mercer/comm/environment.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/io/temporary.hpp"
#include "posix_file.hpp"

namespace mercer::io {
namespace {

namespace fs = std::filesystem;

/// Throws InputError unless `path` is a file that can be read and is not empty. Local.
void expect_file(const std::string& path) {
  require_file(path, path);
  std::error_code error;
  if (fs::file_size(path, error) == 0) throw InputError("{}: is empty", path);
}

/// Opens `path`. Throws InputError unless it is a complete HDF5 file. Local.
hid_t open_for_reading(const std::string& path) {
  if (H5Fis_hdf5(path.c_str()) <= 0) throw InputError("{}: is not an HDF5 file", path);
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access, false, true);  // network file systems often have no locks
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
  if (file < 0) throw InputError("{}: is truncated or damaged", path);
  return file;
}

/// Gives back the space that was reserved beyond the end of the file.
void trim(const std::string& path, const std::string& temporary) {
  const PosixFile file(temporary, O_RDWR);
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0 || ::ftruncate(file, status.st_size) != 0)
    throw RunError("{}: cannot be written: {}", path, reason());
}

}  // namespace

Hdf5File::State::~State() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (file < 0 || finalized) return;
  const Quiet quiet;
  H5Fclose(file);
}

void Hdf5File::State::require_writing() const {
  if (!writing() || file < 0) throw RunError("{}: is not open for writing", path);
}

std::unique_ptr<Watchdog> Hdf5File::State::watchdog(double seconds) const {
  if (writing() || verified) return nullptr;
  return std::make_unique<Watchdog>(path, comm.rank(), seconds);
}

void Hdf5File::State::reserve(Index bytes) const {
  // Beside the elements: headers, and an index entry of about 100 bytes for each chunk of 1 MiB.
  const Index wanted = bytes + bytes / 1024 + (Index{1} << 20);
  comm::together(comm, [&] {
    hsize_t end = 0;
    H5Fget_filesize(file, &end);
    require_allowed_size(path, static_cast<Index>(end) + wanted);
    if (comm.root()) take_space(path, temporary, static_cast<Index>(end), wanted);
  });
}

Hdf5File::Hdf5File(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

const std::string& Hdf5File::path() const {
  return state_->path;
}

const comm::Communicator& Hdf5File::comm() const {
  return state_->comm;
}

Hdf5File Hdf5File::open(const comm::Communicator& comm, const std::string& path, Origin origin) {
  const Quiet quiet;
  comm::together(comm, [&] { expect_file(path); });
  std::unique_ptr<State> state(new State{comm, path, "", nullptr, -1, verify_checksum(comm, path)});
  comm::together(comm, [&] {
    const auto watchdog = state->watchdog();
    state->file = open_for_reading(path);
    if (origin == Origin::mercer && !state->verified)
      throw InputError(
          "{}: has no checksum: it was written by another program, or by a Mercer older than "
          "checksums: write it again",
          path);
  });
  return Hdf5File(std::move(state));
}

bool Hdf5File::verified() const {
  return state_->verified;
}

Hdf5File Hdf5File::create(const comm::Communicator& comm, const std::string& path) {
  const Quiet quiet;
  std::unique_ptr<TemporaryFile> own;
  comm::together(comm, [&] {
    if (!comm.root()) return;
    own = std::make_unique<TemporaryFile>(path);
    claim(path, *own);
  });
  const std::string temporary = comm.broadcast(own ? own->name() : std::string(), 0);
  comm::together(comm, [&] {
    if (PosixFile(temporary, O_RDWR) < 0)
      throw InputError("{}: is not seen by every rank: give a place that all share", path);
  });
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_mpio(access, comm.handle(), MPI_INFO_NULL);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_userblock(creation, static_cast<hsize_t>(kUserBlock));
  const hid_t file = H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, creation, access);
  std::unique_ptr<State> state(new State{comm, path, temporary, std::move(own), file, false});
  const int opened = comm.all_reduce(file >= 0 ? 1 : 0, comm::Op::sum);
  if (opened == comm.size()) return Hdf5File(std::move(state));
  if (opened > 0) comm::abort_run(path.c_str(), "HDF5 created the file on some ranks only");
  throw InputError("{}: HDF5 cannot create this file", path);
}

void Hdf5File::finish() {
  const Quiet quiet;
  State& state = *state_;
  state.require_writing();
  const bool flushed = H5Fflush(state.file, H5F_SCOPE_GLOBAL) >= 0;
  const bool closed = H5Fclose(std::exchange(state.file, -1)) >= 0;
  comm::together(state.comm, [&] {
    if (!flushed || !closed) throw RunError("{}: cannot be written", state.path);
  });
  write_checksum(state.comm, state.temporary, state.path);
  comm::together(state.comm, [&] {
    if (!state.comm.root()) return;
    trim(state.path, state.temporary);
    state.own->publish();
  });
}

}  // namespace mercer::io
