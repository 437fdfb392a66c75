#pragma once

#include <string>

namespace mercer::io {

/// The path at the end of a chain of symbolic links, whether or not something is there; any other
/// path itself. Local.
std::string followed(const std::string& path);

/// A file that is being written: it lies beside its final place, under a name that no other run
/// has, and is renamed to it when complete.
///
/// The name is PATH.tmp-MACHINE-PID-START-COUNT, where MACHINE stands for the host, its boot and
/// the process namespace, and START for the moment at which the process began. Where the path is a
/// symbolic link, PATH is followed(path): the link stays, as with programs that open a file and
/// write to it.
///
/// Local: one rank creates, completes and renames the file.
class TemporaryFile {
 public:
  /// Chooses the name; nothing is created.
  explicit TemporaryFile(const std::string& path);
  /// Removes the file, unless it was published.
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& name() const { return name_; }
  /// Creates the file, empty. Where it replaces another one, only the owner can open it until it is
  /// published. Returns a descriptor to write to, which the caller closes, or -1 with errno set.
  int create();
  /// Syncs the file and renames it to PATH. It gets the permissions of the file that it replaces;
  /// its owner is who runs the program. Throws RunError, naming the path.
  void publish();

 private:
  std::string path_, target_, name_;
};

/// Whether the file `path`, named as above, was left by a run that has ended: its process was on
/// this machine and has ended, or it was on another machine and the file has not been written for a
/// day. False for any other name: such a file is not Mercer's. Local.
bool is_leftover(const std::string& path);

/// Removes the leftovers of killed runs among PATH.tmp-*, never a file of a run that goes on.
/// Throws nothing: what cannot be removed stays. Local: for one rank to call.
void remove_leftovers(const std::string& path);

/// Lets one job at a time write PATH: an advisory lock (flock) on the file PATH.lock, which says
/// who holds it and is removed at the end. The lock ends with its process, however that ends, so
/// that a file left behind blocks nobody. A symbolic link counts as the file that it leads to.
/// Nothing is locked where the file system has no locks, or where PATH.lock cannot be written or is
/// a file of another kind. Local: for one rank of a job to hold.
class PathLock {
 public:
  PathLock() = default;
  /// Throws InputError "OPTION PATH: is being written by another job (pid 12 on HOST since ...)".
  PathLock(const std::string& option, const std::string& path);
  PathLock(PathLock&& other) noexcept;
  PathLock& operator=(PathLock&& other) noexcept;
  ~PathLock();
  bool held() const { return descriptor_ >= 0; }

 private:
  void release();
  int descriptor_ = -1;
  std::string file_;
};

/// Removes the temporary files and lock files of this process: for the handler of a signal that
/// ends it. Calls nothing that a handler may not call. Names of more than 4095 bytes, and those
/// beyond 64 at a time, are not remembered: their files stay as leftovers.
void remove_temporaries() noexcept;

}  // namespace mercer::io
