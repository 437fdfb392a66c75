#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/io/temporary.hpp"

/// The files of a run are checked before any work, so that no file is lost and every rank reads the
/// same.
namespace mercer::io {

/// A file, or a text that names files, and who names it: "train" and "csv:tr.csv".
struct NamedFile {
  std::string who, path;
};

/// The existing files among the parts of a data SPEC ("csv:FILE", "npy:X,Y", "h5:FILE:/x,/y",
/// "MASK.csv:3"). A part is the text between any two of its colons and commas (the first 39 of
/// them), its start and its end. Local.
std::vector<std::string> files_in(const std::string& spec);

/// The other existing files that hold data of an HDF5 file: targets of its external links, sources
/// of its virtual datasets and external storage, and those of these files in turn. Empty for files
/// of other kinds, and for those that bear a checksum of Mercer (io/checksum.hpp), which refer to
/// no other and are verified before HDF5 opens them. A file so damaged that HDF5 crashes or does
/// not return ends the process with one line and exit code 2. `rank`: of the caller, where several
/// ranks call this for the same file; ranks other than 0 then leave the line to rank 0. Local.
std::vector<std::string> files_behind(const std::string& path, int rank = 0);

/// The files that a run writes. One is refused where the run reads it or names it twice, or where
/// another run holds its lock. Links to a file, and other spellings of its path, count as the same
/// file; files_behind() a file are read with it. Standard output and what is not a regular file,
/// such as /dev/null, may be named any number of times.
class OutputPlaces {
 public:
  /// `reads` are files or data SPECs, taken apart by files_in(). Those of `writes` for which
  /// `locked` is true get a lock (PathLock), and what killed runs left beside them is removed.
  /// Throws InputError, one line with both names. Collective.
  OutputPlaces(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
               const std::vector<NamedFile>& writes,
               const std::function<bool(const NamedFile&)>& locked);

  /// Again removes what killed runs left beside the locked files: a process that was still ending
  /// when this run began is gone by now. Local.
  ~OutputPlaces();
  OutputPlaces(const OutputPlaces&) = delete;
  OutputPlaces& operator=(const OutputPlaces&) = delete;

  /// Throws InputError where the run writes a file that it reads, for a file or data SPEC that
  /// becomes known later, such as a stored model's training rows. Collective.
  void require_not_written(const NamedFile& read) const;

 private:
  void refuse_overwriting(const NamedFile& read) const;

  comm::Communicator comm_;
  std::vector<NamedFile> outputs_;
  std::vector<PathLock> locks_;      ///< held by rank 0
  std::vector<std::string> locked_;  ///< the files that they are for
};

/// Throws InputError on all ranks, naming what differs, unless all ranks see the same: the contents
/// of the files that each rank opens for itself (those of files_in() for `reads`, and those
/// files_behind() them), and the folders of `writes`. Where inode, size and time of change of every
/// file agree on all ranks, no contents are read; otherwise every rank reads all of these files
/// once. Files that rank 0 alone reads (CSV, libsvm, anything compressed) may be absent elsewhere.
/// Collective.
void require_same_files(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
                        const std::vector<NamedFile>& writes);

}  // namespace mercer::io
