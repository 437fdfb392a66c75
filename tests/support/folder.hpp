#pragma once

#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "mercer/comm/communicator.hpp"

namespace mercer::test {

/// A folder of this run's own, the same on all ranks, removed at the end. Collective.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& called = "mercer-test")
      : comm_(comm::Communicator::world()) {
    std::string name;
    if (comm_.root()) {
      name = (std::filesystem::temp_directory_path() / (called + "-XXXXXX")).string();
      if (mkdtemp(name.data()) == nullptr) name.clear();
    }
    path_ = comm_.broadcast(name, 0);
  }
  ~TemporaryFolder() {
    comm_.barrier();
    if (comm_.root()) std::filesystem::remove_all(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  /// Rank 0 writes; the others wait. Returns the path. Names that end in .gz are compressed.
  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = *this / name;
    if (comm_.root()) {
      if (name.ends_with(".gz")) {
        gzFile file = gzopen(path.c_str(), "wb6");
        gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
        gzclose(file);
      } else {
        std::ofstream(path, std::ios::binary) << bytes;
      }
    }
    comm_.barrier();
    return path;
  }
  /// As write, without compressing whatever the name.
  std::string write_raw(const std::string& name, const std::string& bytes) const {
    const std::string path = *this / name;
    if (comm_.root()) std::ofstream(path, std::ios::binary) << bytes;
    comm_.barrier();
    return path;
  }

 private:
  comm::Communicator comm_;
  std::string path_;
};

}  // namespace mercer::test
