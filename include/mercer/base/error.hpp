#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace mercer {

/// Exit codes of every driver (part of the interface that job scripts rely on).
enum class ExitCode : int {
  done = 0,
  failed = 1,         ///< the run or its check failed
  bad_input = 2,      ///< usage, options, files
  out_of_memory = 3,  ///< the plan needs more memory than there is
  interrupted = 130,
};

/// What a user is told: one line that says what is wrong, where, and what would be right, together
/// with the driver's exit code. Thrown alike on all ranks, or passed through comm::together(); an
/// Error on one rank alone must never unwind, because destructors of distributed objects are
/// collective.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::string what) : std::runtime_error(std::move(what)), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Bad arguments, options or files: exit code 2.
class InputError : public Error {
 public:
  template <class... Args>
  explicit InputError(fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::bad_input, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// A run, a library call or a check that failed: exit code 1.
class RunError : public Error {
 public:
  template <class... Args>
  explicit RunError(fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::failed, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// The plan needs more memory than there is: exit code 3.
class MemoryError : public Error {
 public:
  template <class... Args>
  explicit MemoryError(fmt::format_string<Args...> text, Args&&... args)
      : Error(ExitCode::out_of_memory, fmt::format(text, std::forward<Args>(args)...)) {}
};

}  // namespace mercer
