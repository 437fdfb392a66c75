#pragma once

#include <string>

namespace mercer::io {

/// What a symbolic link leads to in the end, there or not; any other path itself. Local.
std::string followed(const std::string& path);

/// A file under way: it lies beside the place where it will be, under a name that no other run has,
/// and takes its place when it is complete.
///
/// The name is PATH.tmp-MACHINE-PID-START-COUNT, where MACHINE stands for the host, its boot and
/// the process namespace, and START for the moment at which the process began. Where the path is a
/// symbolic link, PATH is what it leads to, there or not: the link stays, as with programs that
/// open a file to write it.
///
/// Local: for the one rank that creates, completes and renames it.
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
  /// published.
  /// Returns a descriptor to write to, -1 with errno set where that fails. The caller closes it.
  int create();
  /// Syncs the file and renames it to PATH. It gets the permissions of the file that was there
  /// (its owner is who runs the program). Throws RunError, naming the path.
  void publish();

 private:
  std::string path_, target_, name_;
};

/// Whether the file `path`, named as above, is one of a run that is no more: its process on this
/// machine has ended, or it is of another machine and has not been touched for a day. False for any
/// other name: it is somebody's own. Local.
bool is_leftover(const std::string& path);

/// Removes the leftovers among PATH.tmp-*: what killed runs left, never a file of a run that is
/// under way. Throws nothing: what cannot be removed stays. Local: for one rank to call.
void remove_leftovers(const std::string& path);

/// One job at a time writes PATH: an advisory lock (flock) on PATH.lock, which says who holds it
/// and is removed at the end. It ends with its process, however that ends, so that nothing stale
/// stands in the way. A symbolic link counts as the file that it leads to. Where the file system
/// has no locks, or PATH.lock cannot be written or is somebody's own file, nothing is locked.
/// Local: for one rank of a job to hold.
class PathLock {
 public:
  PathLock() = default;
  /// Throws InputError "OPTION PATH: is being written by another job (pid 12 on host X since ...)".
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

/// Removes every file under way and every lock's file of this process: for the handler of a signal
/// that ends it. Calls nothing that a handler may not call. Of names beyond 4095 characters, and
/// beyond the first 64 at a time, nothing is known here: their files are leftovers then.
void remove_temporaries() noexcept;

}  // namespace mercer::io
