#include "gnuplot.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <string_view>

#include "mercer/base/error.hpp"

namespace mercer::report {
namespace {

using Clock = std::chrono::steady_clock;

/// While it lives, writing to a program that no longer reads returns an error and sends no SIGPIPE.
class NoPipeSignal {
 public:
  NoPipeSignal() : before_(::signal(SIGPIPE, SIG_IGN)) {}
  ~NoPipeSignal() { ::signal(SIGPIPE, before_); }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  void (*before_)(int);
};

/// A pipe, both ends of which are closed by the destructor, and in the child.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(end_.data(), O_CLOEXEC) != 0) throw RunError("gnuplot: no pipes are left");
  }
  ~Pipe() {
    close_reading();
    close_writing();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reading() const { return end_[0]; }
  int writing() const { return end_[1]; }
  void close_reading() { close(end_[0]); }
  void close_writing() { close(end_[1]); }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> end_{-1, -1};
};

/// Starts gnuplot in a process group of its own; -1 where there is none.
pid_t start(const Pipe& script, const Pipe& drawn, const Pipe& said) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&how);
  ::posix_spawn_file_actions_adddup2(&files, script.reading(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, drawn.writing(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, said.writing(), STDERR_FILENO);
  sigset_t as_usual;
  ::sigemptyset(&as_usual);
  ::sigaddset(&as_usual, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&how, &as_usual);
  ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  std::string program = "gnuplot", from_stdin = "-";
  std::array<char*, 3> words{program.data(), from_stdin.data(), nullptr};
  pid_t child = -1;
  const int failed = ::posix_spawnp(&child, program.c_str(), &files, &how, words.data(), ::environ);
  ::posix_spawnattr_destroy(&how);
  ::posix_spawn_file_actions_destroy(&files);
  return failed == 0 ? child : -1;
}

/// Appends what can be read; false at the end of the input.
bool take(int end, std::string& text) {
  std::array<char, 65536> part;
  const auto count = ::read(end, part.data(), part.size());
  if (count > 0) text.append(part.data(), static_cast<std::size_t>(count));
  return count > 0 || (count < 0 && errno == EINTR);
}

/// Writes as much of `rest` as the pipe takes; false where nothing is left, or nobody reads.
bool give(int end, std::string_view& rest) {
  const auto count = ::write(end, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF));
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  rest.remove_prefix(static_cast<std::size_t>(count));
  return !rest.empty();
}

/// Writes the script and reads until gnuplot has closed both of its outputs; false where that is
/// not done at `end`.
bool converse(std::string_view rest, Pipe& script, Pipe& drawn, Pipe& said, GnuplotRun& run,
              Clock::time_point end) {
  ::fcntl(script.writing(), F_SETFL, O_WRONLY | O_NONBLOCK);
  if (rest.empty()) script.close_writing();
  while (drawn.reading() >= 0 || said.reading() >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 3> ends{{{script.writing(), POLLOUT, 0},
                                {drawn.reading(), POLLIN, 0},
                                {said.reading(), POLLIN, 0}}};
    if (::poll(ends.data(), ends.size(), static_cast<int>(left.count())) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (ends[0].revents != 0 && !give(script.writing(), rest)) script.close_writing();
    if (ends[1].revents != 0 && !take(drawn.reading(), run.drawn)) drawn.close_reading();
    if (ends[2].revents != 0 && !take(said.reading(), run.said)) said.close_reading();
  }
  return true;
}

/// Waits for the child; false where it still runs at `end`.
bool ended(pid_t child, int& status, Clock::time_point end) {
  for (;;) {
    const pid_t found = ::waitpid(child, &status, WNOHANG);
    if (found == child || (found < 0 && errno != EINTR)) return true;
    if (Clock::now() >= end) return false;
    ::usleep(2000);
  }
}

}  // namespace

GnuplotRun run_gnuplot(const std::string& script, std::chrono::seconds limit) {
  GnuplotRun run;
  const NoPipeSignal quiet;
  Pipe in, drawn, said;
  const auto end = Clock::now() + limit;
  const pid_t child = start(in, drawn, said);
  if (child < 0) return run;
  run.found = true;
  in.close_reading();
  drawn.close_writing();
  said.close_writing();
  int status = 1;
  run.in_time = converse(script, in, drawn, said, run, end) && ended(child, status, end);
  if (!run.in_time) {
    ::kill(-child, SIGKILL);
    ::waitpid(child, &status, 0);
  }
  run.ok = run.in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return run;
}

}  // namespace mercer::report
