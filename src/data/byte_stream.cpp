#include "byte_stream.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace mercer::data {
namespace {

constexpr Index kMaxRead = Index{1} << 30;  // gzread counts in unsigned int
constexpr Index kMaxDeflateRatio = 1032;    // zlib's own bound

Index checked_size(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found)
    throw InputError("{}: no such file", path);
  if (error) throw InputError("{}: cannot be read: {}", path, error.message());
  if (status.type() == std::filesystem::file_type::directory)
    throw InputError("{}: is a folder, a data file is needed", path);
  if (status.type() != std::filesystem::file_type::regular)
    throw InputError("{}: is no ordinary file (a pipe cannot be read by several ranks)", path);
  const auto size = static_cast<Index>(std::filesystem::file_size(path, error));
  if (error) throw InputError("{}: cannot be read: {}", path, error.message());
  if (size == 0) throw InputError("{}: the file is empty", path);
  return size;
}

}  // namespace

void ByteStream::Close::operator()(void* file) const {
  gzclose(static_cast<gzFile>(file));
}

ByteStream::ByteStream(const std::string& path) : path_(path), file_bytes_(checked_size(path)) {
  errno = 0;
  file_.reset(gzopen(path.c_str(), "rb"));
  if (!file_) throw InputError("{}: cannot be read: {}", path, std::strerror(errno));
  gzbuffer(static_cast<gzFile>(file_.get()), 1u << 18);
  compressed_ = gzdirect(static_cast<gzFile>(file_.get())) == 0;
  if (!compressed_ && path.ends_with(".gz"))
    throw InputError("{}: is not gzip data, although its name ends in .gz", path);
}

Index ByteStream::read(void* to, Index bytes) {
  Index done = 0;
  while (done < bytes) {
    const auto wanted = static_cast<unsigned>(std::min(kMaxRead, bytes - done));
    const int got = gzread(static_cast<gzFile>(file_.get()), static_cast<char*>(to) + done, wanted);
    if (got > 0) done += got;
    if (got == static_cast<int>(wanted)) continue;
    int code = Z_OK;
    const std::string text = gzerror(static_cast<gzFile>(file_.get()), &code);
    const Index at = position_ + done;
    if (code == Z_BUF_ERROR)
      throw InputError("{}: truncated: the gzip data break off after {} uncompressed bytes", path_,
                       at);
    if (code == Z_ERRNO)
      throw InputError("{}: cannot be read at byte {}: {}", path_, at, std::strerror(errno));
    if (code != Z_OK && code != Z_STREAM_END)
      throw InputError(
          "{}: corrupt gzip data after {} uncompressed bytes ({})", path_, at,
          text.substr(text.rfind(": ") == std::string::npos ? 0 : text.rfind(": ") + 2));
    break;
  }
  position_ += done;
  return done;
}

void ByteStream::read_exactly(void* to, Index bytes, const std::string& what) {
  const Index begin = position_;
  const Index got = read(to, bytes);
  if (got < bytes)
    throw InputError("{}: truncated: {} needs bytes {} to {}, the data end at byte {}", path_, what,
                     begin, begin + bytes, begin + got);
}

void ByteStream::seek(Index offset) {
  if (offset == position_) return;
  if (gzseek(static_cast<gzFile>(file_.get()), static_cast<z_off_t>(offset), SEEK_SET) < 0)
    throw InputError("{}: cannot be read at byte {}", path_, offset);
  position_ = offset;
}

void ByteStream::expect_end() {
  char extra = 0;
  const Index at = position_;
  if (read(&extra, 1) != 0)
    throw InputError("{}: corrupt: there are data beyond byte {}, where its header says it ends",
                     path_, at);
}

void ByteStream::expect_size(Index bytes) const {
  if (compressed_ && bytes / kMaxDeflateRatio > file_bytes_)
    throw InputError(
        "{}: truncated or corrupt: its header promises {} bytes, more than {} "
        "compressed bytes can hold",
        path_, bytes, file_bytes_);
  if (!compressed_ && bytes > file_bytes_)
    throw InputError("{}: truncated: its header promises {} bytes, the file has {}", path_, bytes,
                     file_bytes_);
  if (!compressed_ && bytes < file_bytes_)
    throw InputError("{}: corrupt: its header promises {} bytes, the file has {}", path_, bytes,
                     file_bytes_);
}

}  // namespace mercer::data
