#include "byte_stream.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace mercer::data {
namespace {

constexpr Index kMaxRead = Index{1} << 30;  // gzread counts in unsigned int
constexpr Index kMaxDeflateRatio = 1032;    // zlib's bound

Index checked_size(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found)
    throw InputError("{}: no such file", path);
  if (error) throw InputError("{}: cannot be read: {}", path, error.message());
  if (status.type() == std::filesystem::file_type::directory)
    throw InputError("{}: is a folder, a data file is needed", path);
  if (status.type() != std::filesystem::file_type::regular)
    throw InputError("{}: is not a regular file (several ranks cannot read a pipe)", path);
  const auto size = static_cast<Index>(std::filesystem::file_size(path, error));
  if (error) throw InputError("{}: cannot be read: {}", path, error.message());
  if (size == 0) throw InputError("{}: the file is empty", path);
  return size;
}

struct Foreign {
  std::string_view magic;
  const char* what;  ///< "{}: is ..."
};
using namespace std::string_view_literals;
constexpr Foreign kForeign[] = {
    {"\xFD"
     "7zXZ\0"sv,
     "xz-compressed: unpack it first (xz -d)"},
    {"BZh"sv, "bzip2-compressed: unpack it first (bzip2 -d)"},
    {"\x28\xB5\x2F\xFD"sv, "zstd-compressed: unpack it first (zstd -d)"},
    {"7z\xBC\xAF\x27\x1C"sv, "a 7z archive: unpack it first (7z x)"},
    {"\x1F\x9D"sv, "packed by compress: unpack it first (uncompress)"},
    {"PAR1"sv, "a Parquet file: write it as CSV, NPY or HDF5 first (pandas: to_csv)"},
    {"MATLAB 5.0"sv, "a MATLAB file: write it as HDF5 or NPY first (scipy.io.loadmat, numpy.save)"},
    {"\xFF\xFE\0\0"sv, "UTF-32 text: UTF-8 is needed (iconv -f UTF-32 -t UTF-8)"},
    {"\0\0\xFE\xFF"sv, "UTF-32 text: UTF-8 is needed (iconv -f UTF-32 -t UTF-8)"},
    {"\xFF\xFE"sv, "UTF-16 text: UTF-8 is needed (iconv -f UTF-16 -t UTF-8)"},
    {"\xFE\xFF"sv, "UTF-16 text: UTF-8 is needed (iconv -f UTF-16 -t UTF-8)"}};

/// What a zip archive is, and what to do: NumPy's, Excel's or any other.
const char* zip_of(const std::string& path) {
  if (path.ends_with(".npz"))
    return "a zip archive of arrays (.npz): save each array by itself (numpy.save) and write "
           "npy:X.npy,y.npy";
  if (path.ends_with(".xlsx")) return "a spreadsheet (.xlsx): write it as CSV first";
  return "a zip archive: unpack it first (unzip)";
}

}  // namespace

void expect_known(const std::string& path, std::string_view start, bool hdf5) {
  const auto refuse = [&](const char* what) { throw InputError("{}: is {}", path, what); };
  for (const auto& [magic, what] : kForeign)
    if (start.starts_with(magic)) refuse(what);
  if (start.starts_with("PK\x03\x04"sv) || start.starts_with("PK\x05\x06"sv)) refuse(zip_of(path));
  if (!hdf5 &&
      (start.starts_with("\x89HDF\r\n\x1a\n"sv) || start.starts_with("Mercer checksum "sv)))
    throw InputError("{}: is an HDF5 file: write h5:{}:/x or h5:{}:/x,/y", path, path, path);
}

void ByteStream::Close::operator()(void* file) const {
  gzclose(static_cast<gzFile>(file));
}

ByteStream::ByteStream(const std::string& path) : path_(path), file_bytes_(checked_size(path)) {
  errno = 0;
  file_.reset(gzopen(path.c_str(), "rb"));
  if (!file_) throw InputError("{}: cannot be read: {}", path, std::strerror(errno));
  gzbuffer(static_cast<gzFile>(file_.get()), 1u << 18);
  compressed_ = gzdirect(static_cast<gzFile>(file_.get())) == 0;
  char start[16] = {};
  const Index got = read(start, sizeof start);
  expect_known(path, {start, static_cast<std::size_t>(got)});
  if (!compressed_ && path.ends_with(".gz"))
    throw InputError("{}: is not gzip data, although its name ends in .gz", path);
  seek(0);
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
