#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "mercer/base/error.hpp"
#include "mercer/dist/temporary.hpp"

namespace mercer::dist {
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
  const std::string first = temporary_name(path), second = temporary_name(path);
  EXPECT_NE(first, second);
  EXPECT_TRUE(first.starts_with(path + ".tmp-"));
  EXPECT_FALSE(is_leftover(first));
  EXPECT_FALSE(is_leftover(path));
}

TEST_F(Temporary, OfProcessesThatHaveEndedAreRemovedAndNoOthers) {
  const std::string own = temporary_name(path);
  touch(own);
  // The names that a process which has ended had: of this machine, with numbers that no process
  // has.
  const auto after = own.substr(path.size() + 5);
  const std::string machine = after.substr(0, 8), pid = std::to_string(::getpid());
  const std::string ended = path + ".tmp-" + machine + "-4194999-12-0";
  const std::string reused = path + ".tmp-" + machine + "-" + pid + "-1-0";  // began later
  const std::string elsewhere = path + ".tmp-00000000-12-345-0";
  const std::string long_ago = path + ".tmp-00000000-12-345-1";
  const std::string earlier_version = path + ".tmp-17";
  const std::string other = path + ".other", other_path = (place / "q.h5.tmp-17").string();
  for (const auto& file : {ended, reused, elsewhere, long_ago, earlier_version, other, other_path})
    touch(file);
  fs::last_write_time(long_ago, fs::file_time_type::clock::now() - std::chrono::hours(30));
  remove_leftovers(path);
  for (const auto& file : {ended, reused, long_ago, earlier_version})
    EXPECT_FALSE(fs::exists(file)) << file;
  for (const auto& file : {own, elsewhere, other, other_path})
    EXPECT_TRUE(fs::exists(file)) << file;
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
    EXPECT_TRUE(fs::exists(lock.file()));
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

}  // namespace
}  // namespace mercer::dist
