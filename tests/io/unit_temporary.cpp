#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "mercer/base/error.hpp"
#include "mercer/io/signals.hpp"
#include "mercer/io/temporary.hpp"

namespace mercer::io {
namespace {

namespace fs = std::filesystem;

struct Temporary : testing::Test {
  void SetUp() override {
    place = fs::temp_directory_path() / ("mercer-temporary-" + std::to_string(::getpid()));
    fs::create_directories(place);
    path = (place / "r.h5").string();
  }
  void TearDown() override { fs::remove_all(place); }
  static void touch(const std::string& file) { std::ofstream(file) << "x"; }
  /// Runs `body` in a process that is killed then.
  static void in_a_killed_process(const std::function<void()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::raise(SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
  }
  std::string refusal() const {
    try {
      const PathLock lock("--out", path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
  fs::path place;
  std::string path;
};

TEST_F(Temporary, NamesDifferAndAreThoseOfARunUnderWay) {
  const TemporaryFile first(path), second(path);
  EXPECT_NE(first.name(), second.name());
  EXPECT_TRUE(first.name().starts_with(path + ".tmp-"));
  EXPECT_FALSE(is_leftover(first.name()));
  EXPECT_FALSE(is_leftover(path));
}

TEST_F(Temporary, OfProcessesThatHaveEndedAreRemovedAndNoOthers) {
  TemporaryFile file(path);
  ::close(file.create());
  const std::string own = file.name();
  // The names that a process which has ended had: of this machine, with numbers that no process
  // has.
  const auto after = own.substr(path.size() + 5);
  const std::string machine = after.substr(0, 8), pid = std::to_string(::getpid());
  const std::string ended = path + ".tmp-" + machine + "-4194999-12-0";
  const std::string reused = path + ".tmp-" + machine + "-" + pid + "-1-0";  // began later
  const std::string elsewhere = path + ".tmp-00000000-12-345-0";
  const std::string long_ago = path + ".tmp-00000000-12-345-1";
  const std::string users = path + ".tmp-17", notes = path + ".tmp-notes";
  const std::string other = path + ".other", other_path = (place / "q.h5.tmp-17").string();
  for (const auto& name : {ended, reused, elsewhere, long_ago, users, notes, other, other_path})
    touch(name);
  fs::last_write_time(long_ago, fs::file_time_type::clock::now() - std::chrono::hours(30));
  remove_leftovers(path);
  for (const auto& name : {ended, reused, long_ago}) EXPECT_FALSE(fs::exists(name)) << name;
  for (const auto& name : {own, elsewhere, users, notes, other, other_path})
    EXPECT_TRUE(fs::exists(name)) << name;
}

/// mpirun's ranks that outlive it become children of process 1, which in a container may take long
/// to note their end, or never does.
TEST_F(Temporary, OfAProcessWhoseEndNobodyHasNotedAreRemoved) {
  const TemporaryFile own(path);
  const auto machine = own.name().substr(path.size() + 5, 8);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  const auto pid = std::to_string(child);
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string word;
  for (int field = 1; field <= 3; ++field) stat >> word;
  EXPECT_EQ(word, "Z");
  for (int field = 4; field <= 22; ++field) stat >> word;
  const auto left = path + ".tmp-" + machine + "-" + pid + "-" + word + "-0";
  touch(left);
  remove_leftovers(path);
  EXPECT_FALSE(fs::exists(left));
  ::waitpid(child, nullptr, 0);
}

TEST_F(Temporary, TakesItsPlaceWithThePermissionsOfWhatWasThere) {
  const auto write = [&](TemporaryFile& file) {
    const int descriptor = file.create();
    ASSERT_GE(descriptor, 0);
    EXPECT_EQ(::write(descriptor, "new", 3), 3);
    ::close(descriptor);
  };
  using fs::perms;
  for (const auto mode : {perms{0600}, perms{0640}, perms{0664}, perms{0755}}) {
    touch(path);
    fs::permissions(path, mode);
    TemporaryFile file(path);
    write(file);
    // Nobody reads it meanwhile who could not read the other.
    EXPECT_EQ(fs::status(file.name()).permissions() & perms{0077}, perms::none);
    file.publish();
    EXPECT_EQ(fs::status(path).permissions(), mode);
    EXPECT_EQ(fs::file_size(path), 3u);
  }
  fs::remove(path);
  const ::mode_t before = ::umask(0027);
  TemporaryFile fresh(path);
  write(fresh);
  ::umask(before);
  fresh.publish();
  EXPECT_EQ(fs::status(path).permissions(), perms{0640});
  EXPECT_EQ(std::distance(fs::directory_iterator(place), fs::directory_iterator()), 1);
}

TEST_F(Temporary, FollowsLinksThatStay) {
  fs::create_directory(place / "far");
  const auto target = place / "far" / "real.h5", link = place / "link.h5", chain = place / "chain";
  fs::create_symlink("far/real.h5", link);
  fs::create_symlink(link, chain);
  for (const bool there : {false, true}) {
    EXPECT_EQ(fs::exists(target), there);
    TemporaryFile file(chain.string());
    EXPECT_TRUE(file.name().starts_with(target.string() + ".tmp-")) << file.name();
    ::close(file.create());
    file.publish();
    EXPECT_TRUE(fs::is_symlink(chain) && fs::is_symlink(link));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(target)));
  }
  const PathLock lock("--out", chain.string());
  path = target.string();
  EXPECT_NE(refusal(), "");
}

TEST_F(Temporary, ALinkThatIsPlantedUnderItsNameIsNotFollowed) {
  TemporaryFile file(path);
  const auto victim = (place / "victim").string();
  touch(victim);
  fs::create_symlink(victim, file.name());
  EXPECT_LT(file.create(), 0);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(fs::file_size(victim), 1u);
}

TEST_F(Temporary, ASignalsHandlerRemovesFilesAndLocks) {
  for (const bool in_time : {true, false}) {
    in_a_killed_process([&] {
      auto* file = new TemporaryFile(path);
      ::close(file->create());
      static_cast<void>(new PathLock("--out", path));
      { const TemporaryFile gone(path); }
      if (in_time) remove_temporaries();
    });
    EXPECT_EQ(fs::is_empty(place), in_time);
  }
}

TEST_F(Temporary, ASecondJobIsToldOfTheFirst) {
  {
    const PathLock lock("--out", path);
    ASSERT_TRUE(lock.held());
    const std::string text = refusal();
    EXPECT_NE(text.find("--out " + path + ": is being written by another job (pid " +
                        std::to_string(::getpid()) + " on "),
              std::string::npos)
        << text;
    EXPECT_NE(text.find(" since 20"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_TRUE(fs::exists(path + ".lock"));
  }
  EXPECT_EQ(refusal(), "");
  EXPECT_TRUE(fs::is_empty(place));
}

TEST_F(Temporary, ALockEndsWithItsProcess) {
  in_a_killed_process([&] {
    auto* kept = new PathLock("--out", path);  // never released
    static_cast<void>(kept);
  });
  EXPECT_TRUE(fs::exists(path + ".lock"));
  EXPECT_EQ(refusal(), "");
  EXPECT_TRUE(fs::is_empty(place));
}

TEST_F(Temporary, AFileOfSomebodyElseIsLeftAlone) {
  std::ofstream(path + ".lock") << "dear diary\n";
  {
    const PathLock lock("--out", path);
    EXPECT_FALSE(lock.held());
  }
  std::string word;
  std::ifstream(path + ".lock") >> word;
  EXPECT_EQ(word, "dear");
}

TEST_F(Temporary, WhereNothingCanBeLockedTheJobGoesOn) {
  const PathLock lock("--out", (place / "missing" / "r.h5").string());
  EXPECT_FALSE(lock.held());
}

TEST_F(Temporary, AMovedLockIsHeldOnce) {
  PathLock lock("--out", path);
  PathLock other = std::move(lock);
  EXPECT_FALSE(lock.held());
  EXPECT_TRUE(other.held());
  EXPECT_NE(refusal(), "");
  other = PathLock();
  EXPECT_EQ(refusal(), "");
}

TEST_F(Temporary, ASignalWaitsForWhatIsNotYetRemembered) {
  const pid_t child = ::fork();
  if (child == 0) {
    leave_on_signals("");
    {
      const SignalsHeld outer;
      {
        const SignalsHeld inner;
        ::raise(SIGUSR1);
      }
      touch(path);
    }
    std::_Exit(1);  // the signal has come before
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::interrupted));
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(Temporary, OfTwoSignalsTheFirstEndsTheRunWithOneLine) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe[1], STDERR_FILENO);
    leave_on_signals("mercer-test");
    if (::fork() == 0) {  // while the other leaves
      ::usleep(100'000);
      ::kill(::getppid(), SIGTERM);
      ::_exit(0);
    }
    ::raise(SIGUSR1);
    std::_Exit(1);
  }
  ::close(pipe[1]);
  std::string said(200, '\0');
  std::size_t size = 0;
  for (ssize_t more; (more = ::read(pipe[0], &said[size], said.size() - size)) > 0;)
    size += static_cast<std::size_t>(more);
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::interrupted));
  said.resize(size);
  EXPECT_EQ(std::ranges::count(said, '\n'), 1) << said;
}

}  // namespace
}  // namespace mercer::io
