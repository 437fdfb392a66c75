#pragma once

#include <string>
#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/temporary.hpp"
#include "shared/command_line.hpp"

namespace mercer::drivers {

/// The files that a job writes, refused where one is a file that the job reads, or one that another
/// job is writing: before any work, so that nothing is lost.
///
/// Every file that there is among the parts of a SPEC ("csv:FILE", "npy:X,Y", "h5:FILE:/x,/y",
/// "MASK.csv:3"): from one of its colons and commas to another one. Local.
std::vector<std::string> files_in(const std::string& spec);
/// Whether the option, without dashes, names files that are only read. Local.
bool is_read(const std::string& option);

/// The options that name files are those whose value is called so in --help (FILE, SPEC, a name
/// that ends as files do), and values such as file:K.h5 or table:g.csv. The ones that are only read
/// are listed in places.cpp; every other one counts as written, so that an option that is missing
/// from the list is refused over another one's file rather than forgotten. A file is what lies on
/// the disk: links to it, and other ways of spelling its path, count as the same. --checkpoint is
/// read and written, by --resume. An earlier result of the same name is replaced.
class Places {
 public:
  /// Throws InputError, one line with both options. Takes a lock on every file that is written
  /// (dist::PathLock; with --dry-run only --json is), and removes what killed runs left beside it.
  /// Collective.
  Places(const CommandLine& line, bool dry_run, const comm::Communicator& comm);

  /// The same for a file or data SPEC that no option names, such as a stored model's training
  /// rows: `who` is it that reads it. Collective.
  void require_not_written(const std::string& who, const std::string& spec) const;

 private:
  struct Output {
    std::string option, path;
  };
  void refuse_overwriting(const std::string& reader, const std::string& value) const;

  comm::Communicator comm_;
  std::vector<Output> outputs_;
  std::vector<dist::PathLock> locks_;  ///< rank 0's
};

}  // namespace mercer::drivers
