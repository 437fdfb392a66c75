#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/io/temporary.hpp"

/// The files of a run: looked at before any work, so that nothing is lost and every rank reads the
/// same.
namespace mercer::io {

/// A file, or text that names some, and who names it: "train" and "csv:tr.csv".
struct NamedFile {
  std::string who, path;
};

/// Every file that there is among the parts of a data SPEC ("csv:FILE", "npy:X,Y", "h5:FILE:/x,/y",
/// "MASK.csv:3"): from one of its colons and commas to another one. Local.
std::vector<std::string> files_in(const std::string& spec);

/// The files that a run writes, refused where one is a file that the run reads, or one that another
/// run is writing. A file is what lies on the disk: links to it, and other ways of spelling its
/// path, count as the same. What is there and no file, such as /dev/null, takes any number of them.
class OutputPlaces {
 public:
  /// `reads` as files_in(); of `writes`, those for which `locked` is true get a lock (PathLock),
  /// and what killed runs left beside them is removed. Throws InputError, one line with both names.
  /// Collective.
  OutputPlaces(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
               const std::vector<NamedFile>& writes,
               const std::function<bool(const NamedFile&)>& locked);

  /// Once more removes what killed runs left beside the locked files: a process that was still dying
  /// at the start has ended by now. Local.
  ~OutputPlaces();
  OutputPlaces(const OutputPlaces&) = delete;
  OutputPlaces& operator=(const OutputPlaces&) = delete;

  /// The same for a file or data SPEC that becomes known later, such as a stored model's training
  /// rows. Collective.
  void require_not_written(const NamedFile& read) const;

 private:
  void refuse_overwriting(const NamedFile& read) const;

  comm::Communicator comm_;
  std::vector<NamedFile> outputs_;
  std::vector<PathLock> locks_;      ///< rank 0's
  std::vector<std::string> locked_;  ///< of these files
};

/// That all ranks see the same: the contents of the files that each opens for itself (`reads`, as
/// files_in()), and the folder of those that each writes to. Files that are one file (number, size,
/// time of change) on all ranks are not read, others are, once, on every rank. What rank 0 alone
/// reads (CSV, libsvm, anything compressed) may be absent elsewhere. Throws InputError on all ranks
/// that names what differs. Collective.
void require_same_files(const comm::Communicator& comm, const std::vector<NamedFile>& reads,
                        const std::vector<NamedFile>& writes);

}  // namespace mercer::io
