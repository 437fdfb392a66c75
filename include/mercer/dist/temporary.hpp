#pragma once

#include <string>

namespace mercer::dist {

/// Names under which files are written before they are renamed: PATH.tmp-MACHINE-PID-START-COUNT,
/// where MACHINE stands for the host, its boot and the process namespace, and START for the moment
/// at which the process began. No two runs share one, on whatever machines. Local.
std::string temporary_name(const std::string& path);

/// Whether the file `path`, named as above, is one of a run that is no more: its process on this
/// machine has ended, or it is of another machine and has not been touched for a day; names that
/// earlier versions gave (PATH.tmp-PID) count as such too. False where the name holds no ".tmp-".
/// Local.
bool is_leftover(const std::string& path);

/// Removes the leftovers among PATH.tmp-*: what killed runs left, never a file of a run that is
/// under way. Throws nothing: what cannot be removed stays. Local: for one rank to call.
void remove_leftovers(const std::string& path);

/// One job at a time writes PATH: an advisory lock (flock) on PATH.lock, which says who holds it
/// and is removed at the end. It ends with its process, however that ends, so that nothing stale
/// stands in the way. Where the file system has no locks, or PATH.lock cannot be written or is
/// somebody's own file, nothing is locked. Local: for one rank of a job to hold.
class PathLock {
 public:
  PathLock() = default;
  /// Throws InputError "OPTION PATH: is being written by another job (pid 12 on host X since ...)".
  PathLock(const std::string& option, const std::string& path);
  PathLock(PathLock&& other) noexcept;
  PathLock& operator=(PathLock&& other) noexcept;
  ~PathLock();
  bool held() const { return descriptor_ >= 0; }
  /// PATH.lock, empty where nothing is locked: to be removed where the process ends otherwise.
  const std::string& file() const { return file_; }

 private:
  void release();
  int descriptor_ = -1;
  std::string file_;
};

}  // namespace mercer::dist
