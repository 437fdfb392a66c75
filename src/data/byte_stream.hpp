#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mercer/base/index.hpp"

namespace mercer::data {

/// Throws where `start`, a file's first bytes, are those of a format that no reader takes: xz,
/// bzip2, zstd, zip (.npz, .xlsx), 7z, compress, UTF-16 and UTF-32, Parquet, MATLAB, or HDF5 where
/// `hdf5` is false. The message says what the file is and what to do. Local.
void expect_known(const std::string& path, std::string_view start, bool hdf5 = false);

/// The bytes of a file, uncompressed while reading where its content is gzip. Local. Everything
/// throws InputError with the file's name: missing, a folder, empty, named .gz without being gzip,
/// compressed or encoded otherwise (expect_known()), corrupt (zlib's checksums), truncated.
class ByteStream {
 public:
  explicit ByteStream(const std::string& path);

  /// Reads up to `bytes` bytes and returns how many: fewer only at the end of the data, whose
  /// checksum is then verified.
  Index read(void* to, Index bytes);
  /// Reads exactly `bytes` bytes; `what` names them in the error ("the header", "row 7").
  void read_exactly(void* to, Index bytes, const std::string& what);
  /// Goes to a byte of the uncompressed data. Compressed data are read on to there, or for an
  /// earlier byte again from the start.
  void seek(Index offset);
  /// Throws unless the data end here.
  void expect_end();
  /// Throws where the data cannot be `bytes` bytes: a plain file must have exactly this size, a
  /// gzip file cannot hold more than 1032 times its own size.
  void expect_size(Index bytes) const;

  const std::string& path() const { return path_; }
  bool compressed() const { return compressed_; }
  Index file_bytes() const { return file_bytes_; }
  Index position() const { return position_; }

 private:
  struct Close {
    void operator()(void* file) const;
  };
  std::string path_;
  std::unique_ptr<void, Close> file_;
  bool compressed_ = false;
  Index file_bytes_ = 0;
  Index position_ = 0;
};

}  // namespace mercer::data
